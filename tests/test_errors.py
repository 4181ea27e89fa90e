"""Errors: one tree, evidence in each, and a judgement in those of delivery."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from datetime import datetime
from datetime import timedelta
from datetime import timezone

import pytest

from flask_partnerstack import errors
from flask_partnerstack.errors import ConfigurationError
from flask_partnerstack.errors import DeliveryError
from flask_partnerstack.errors import EntryNotFound
from flask_partnerstack.errors import IllegalTransition
from flask_partnerstack.errors import InvalidConversion
from flask_partnerstack.errors import Judgement
from flask_partnerstack.errors import LedgerUnavailable
from flask_partnerstack.errors import NotInitialized
from flask_partnerstack.errors import PartnerStackError


def family(kind: type[Exception]) -> list[type[Exception]]:
    below = [one for child in kind.__subclasses__() for one in family(child)]
    return [kind, *(one for one in below if one.__module__ == errors.__name__)]


ALL = family(PartnerStackError)
OF_DELIVERY = family(DeliveryError)[1:]


def test_one_tree() -> None:
    """Every exception of the module descends from the one base, and is drawn at the top."""
    defined = {
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert defined == set(ALL)
    assert all(f"{kind.__name__} " in f"{errors.__doc__}".replace("\n", " ") for kind in ALL)


@pytest.mark.parametrize("kind", ALL)
def test_each_says_when(kind: type[Exception]) -> None:
    """Each has a docstring of its own."""
    assert "__doc__" in vars(kind)
    assert kind.__doc__


@pytest.mark.parametrize(
    ("error", "evidence", "text"),
    [
        (
            ConfigurationError("PARTNERSTACK_TOKEN", "expected text."),
            {"key": "PARTNERSTACK_TOKEN", "expected": "expected text."},
            "PARTNERSTACK_TOKEN: expected text.",
        ),
        (
            InvalidConversion("email", "expected text, got int."),
            {"field": "email", "expected": "expected text, got int."},
            "email: expected text, got int.",
        ),
        (
            LedgerUnavailable("sqlite:///a.db", "disk full"),
            {"ledger": "sqlite:///a.db", "reason": "disk full"},
            "The ledger at sqlite:///a.db cannot be used: disk full",
        ),
        (EntryNotFound("7f3e"), {"wanted": "7f3e"}, "The ledger has no entry 7f3e."),
        (
            IllegalTransition("verified", "pending"),
            {"before": "verified", "after": "pending"},
            "An entry that is verified cannot become pending.",
        ),
        (NotInitialized("no"), {}, "no"),
    ],
)
def test_evidence(error: PartnerStackError, evidence: dict[str, str], text: str) -> None:
    """Each carries what its catcher needs, and says it in a sentence."""
    assert {name: getattr(error, name) for name in evidence} == evidence
    assert str(error) == text


def made(kind: type[Exception]) -> Exception:
    """Return one of a kind, with a value for each thing that it wants to be told."""
    values = {"entry_id": 7, "until": datetime(2026, 3, 1, tzinfo=timezone.utc), "status": 429}
    wanted = list(inspect.signature(kind.__init__).parameters.values())[1:]
    given = [values.get(p.name, p.name) for p in wanted if p.kind is p.POSITIONAL_OR_KEYWORD]
    named = {p.name: values.get(p.name) for p in wanted if p.kind is p.KEYWORD_ONLY}
    return kind(*(given or ["said"]), **named)


@pytest.mark.parametrize("again", [copy.copy, lambda e: pickle.loads(pickle.dumps(e))])
@pytest.mark.parametrize("kind", ALL)
def test_each_comes_through_a_process_pool(
    kind: type[Exception], again: Callable[[Exception], Exception]
) -> None:
    """Pickled or copied it is the same error, with the same words and the same evidence."""
    error = made(kind)
    twin = again(error)
    assert type(twin) is kind
    assert (str(twin), twin.args, vars(twin)) == (str(error), error.args, vars(error))


@pytest.mark.parametrize("kind", OF_DELIVERY)
def test_delivery_evidence(kind: type[DeliveryError]) -> None:
    """A delivery error carries the reason, the status, the answer and the wait asked for."""
    wait = timedelta(seconds=9)
    error = kind("HTTP 429: later", status=429, answer="no", retry_after=wait)
    assert (error.reason, error.status, error.answer) == ("HTTP 429: later", 429, "no")
    assert error.retry_after == wait
    assert str(error) == "HTTP 429: later"


@pytest.mark.parametrize("kind", OF_DELIVERY)
def test_delivery_without_an_answer(kind: type[DeliveryError]) -> None:
    """Without an answer there is a reason, and nothing else."""
    error = kind("could not connect")
    assert (error.status, error.answer, error.retry_after) == (None, "", None)


def test_every_judgement_has_an_error() -> None:
    """A judgement is some delivery error's, or acceptance, or what a look-up says."""
    judged = {kind.judged for kind in OF_DELIVERY if issubclass(kind, DeliveryError)}
    of_lookups = {Judgement.FOUND, Judgement.MISSING, Judgement.CANNOT_TELL}
    assert set(Judgement) - judged == {Judgement.ACCEPTED} | of_lookups


@pytest.mark.parametrize("judgement", Judgement)
def test_judgement_is_its_word(judgement: Judgement) -> None:
    """A judgement reads as its word, in a log line and in a column, and is found by it."""
    assert str(judgement) == f"{judgement}" == judgement.name.lower().replace("_", " ")
    assert Judgement(str(judgement)) is judgement


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (ConfigurationError, ValueError),
        (InvalidConversion, ValueError),
        (NotInitialized, RuntimeError),
        (EntryNotFound, LookupError),
    ],
)
def test_builtin_too(kind: type[Exception], builtin: type[Exception]) -> None:
    """Where Python has a word for the mistake, the error is that too."""
    assert issubclass(kind, builtin)
