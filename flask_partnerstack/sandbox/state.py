"""Everything that belongs to one sandbox app."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Flask
from flask import current_app

from .faults import FaultTable
from .links import Program
from .memory import Memory
from .settings import SandboxSettings

EXTENSION = "partnerstack_sandbox"


@dataclass(frozen=True)
class State:
    """The settings, the memory and the faults of one app."""

    settings: SandboxSettings
    memory: Memory
    faults: FaultTable
    program: Program


def get_state(app: Flask | None = None) -> State:
    """The state of this app, or of the app that serves the request."""
    state: State = (app or current_app).extensions[EXTENSION]
    return state
