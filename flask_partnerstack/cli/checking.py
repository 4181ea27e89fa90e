"""``check``: is it set up right, and what to do where it is not."""

from __future__ import annotations

import click
from flask import current_app
from flask.cli import ScriptInfo

from .._state import this_app
from ..doctor import Finding
from ..doctor import examine
from ..errors import ConfigurationError
from ..errors import NotInitialized
from .group import in_words
from .group import partnerstack
from .output import json_option
from .output import say_json

_COLORS = {"ok": "green", "warning": "yellow", "error": "red"}


@partnerstack.command("check")
@click.option("--online", is_flag=True, help="Ask PartnerStack as well. Nothing is created there.")
@json_option
@click.pass_context
def check(context: click.Context, online: bool, as_json: bool) -> None:
    """Say whether this app is set up right, and what to do where it is not.

    Exit code 1: there is an error among the findings. A warning is none.
    """
    findings = _findings(context, online=online)
    well = not any(finding.level == "error" for finding in findings)
    _say(findings, well=well, as_json=as_json)
    if not well:
        raise click.exceptions.Exit(1)


def _findings(context: click.Context, *, online: bool) -> list[Finding]:
    """Return what was found, also where the app does not start."""
    try:
        app = this_app() if current_app else context.ensure_object(ScriptInfo).load_app()
        with in_words():
            return examine(app, online=online)
    except ConfigurationError as e:
        what = f"The app does not start: {e.key} has a value that cannot be used."
        return [Finding("error", what, "No page is served.", e.expected)]
    except NotInitialized as e:
        return [Finding("error", "PartnerStack is not there.", str(e))]


@in_words()
def _say(findings: list[Finding], *, well: bool, as_json: bool) -> None:
    if as_json:
        say_json({"ok": well, "findings": [vars(finding) for finding in findings]})
        return
    for finding in findings:
        _say_one(finding)


def _say_one(finding: Finding) -> None:
    click.secho(f"{finding.level:8}", fg=_COLORS[finding.level], nl=False)
    click.echo(finding.what)
    for line in (finding.why, finding.way_out):
        if line:
            click.echo(f"        {line}")
