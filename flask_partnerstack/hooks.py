"""``Hooks``: what an app's own code decides: may a click be kept, may a conversion be reported.

And what it is told: a customer was verified.

They are on the :class:`~.PartnerStack` object and asked for all its apps.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any
from typing import Final
from typing import Literal
from typing import TypeVar

from .conversion import Conversion
from .conversion import spelled_out
from .ledger import Entry
from .masking import without_addresses
from .referral import Referral

log: Final = logging.getLogger("flask_partnerstack")

Purpose = Literal["keep", "report"]
Consent = Callable[[Purpose, Referral], "bool | None"]
SkipIf = Callable[[Conversion], "str | bool | None"]
WhenVerified = Callable[[Entry], object]
ConsentHook = TypeVar("ConsentHook", bound=Consent)
SkipIfHook = TypeVar("SkipIfHook", bound=SkipIf)

#: The longest reason that the ledger has room for.
LONGEST_REASON = 1000


class Hooks:
    """The hooks of one :class:`~.PartnerStack` object."""

    def __init__(self) -> None:
        self._consent: Consent | None = None
        self._skip_if: list[SkipIf] = []
        self._when_verified: list[WhenVerified] = []

    def add_consent(self, hook: Consent) -> None:
        """Ask ``hook`` from now on, in the place of one that an earlier call of a factory made.

        :raises RuntimeError: there is another one already; which of two would count?
        """
        _check(hook, "consent")
        if self._consent is not None and _origin(self._consent) != _origin(hook):
            raise RuntimeError(
                f"consent: {_name(self._consent)} is registered already. Ask both questions in it. "
                "In a factory that is called more than once, register one of the same name each "
                "time, or one outside of it."
            )
        self._consent = hook

    def add_skip_if(self, hook: SkipIf) -> None:
        """Ask ``hook``, too, from now on; once, however often a factory registers it."""
        _check(hook, "skip_if")
        if not any(_is_copy(hook, known) for known in self._skip_if):
            self._skip_if.append(hook)

    def add_when_verified(self, hook: WhenVerified) -> None:
        """Tell ``hook``, too, from now on; once, however often a factory registers it."""
        _check(hook, "when_verified")
        if not any(_is_copy(hook, known) for known in self._when_verified):
            self._when_verified.append(hook)

    @property
    def asks_for_consent(self) -> bool:
        """Whether somebody is asked before a click is kept."""
        return self._consent is not None

    def may_keep(self, referral: Referral) -> bool:
        """Say whether the click may be kept in the visitor's browser. Never raises."""
        return self._consent is None or _refusal(self._consent, "keep", referral) is None

    def veto(self, conversion: Conversion, referral: Referral) -> str | None:
        """Return why the conversion is not to be reported, or ``None``. Never raises."""
        if self._consent is not None:
            refusal = _refusal(self._consent, "report", referral)
            if refusal is not None:
                return refusal
        for hook in self._skip_if:
            reason = _reason(hook, conversion)
            if reason is not None:
                return reason
        return None

    def tell_verified(self, entry: Entry) -> None:
        """Tell each hook that a customer is verified, whatever the others do. Never raises."""
        for hook in self._when_verified:
            try:
                _tell_verified(hook, entry)
            except Exception:  # the next one is somebody else's
                log.exception(
                    "A hook of when_verified raised for entry %s.", entry.id, extra=entry.log_extra
                )


def is_unawaited(answer: object) -> bool:
    """Say whether somebody's plain function answered with a coroutine, which is closed then.

    Nobody awaits it, so that it does nothing. A decorator that knows only plain functions makes
    such a one of an ``async def``.
    """
    if not inspect.iscoroutine(answer):
        return False
    answer.close()
    return True


def _tell_verified(hook: WhenVerified, entry: Entry) -> None:
    if is_unawaited(hook(entry)):
        log.error(
            "The when_verified hook %s returned a coroutine, and was told nothing of entry %s. "
            "Expected a plain function.",
            _name(hook),
            entry.id,
            extra=entry.log_extra,
        )


def _refusal(consent: Consent, purpose: Purpose, referral: Referral) -> str | None:
    try:
        answer: object = consent(purpose, referral)
    except Exception:  # the app's own code; who cannot say yes has not said it
        log.exception("The consent hook %s raised; that counts as no.", _name(consent))
        return f"the consent hook {_name(consent)} raised"
    if answer is True:
        return None
    if answer is None:
        return "consent not asked yet"
    if answer is not False:
        _say_no_answer(consent, answer)
    return "consent withheld"


def _say_no_answer(consent: Consent, answer: object) -> None:
    is_unawaited(answer)
    log.error(
        "The consent hook %s returned a %s; that counts as no. Expected True, False or None.",
        _name(consent),
        type(answer).__name__,
    )


def _reason(skip_if: SkipIf, conversion: Conversion) -> str | None:
    # What is skipped is in the ledger and can be requeued; what is sent cannot be taken back.
    try:
        answer: object = skip_if(conversion)
    except Exception:
        log.exception(
            "The skip_if hook %s raised; the conversion is skipped. Once it is mended: %s",
            _name(skip_if),
            _requeue(skip_if),
        )
        return f"the skip_if hook {_name(skip_if)} raised"
    if is_unawaited(answer):
        return _unawaited(skip_if)
    if not answer:
        return None
    # A veto counts whatever its words: what the database refused of them would have it forgotten.
    return _worded(answer) if isinstance(answer, str) else _name(skip_if)


def _unawaited(skip_if: SkipIf) -> str:
    log.error(
        "The skip_if hook %s returned a coroutine; the conversion is skipped. Expected a reason, "
        "True, False or None. Once it is mended: %s",
        _name(skip_if),
        _requeue(skip_if),
    )
    return f"the skip_if hook {_name(skip_if)} returned a coroutine"


def _requeue(skip_if: SkipIf) -> str:
    """Return the command that has all asked for again that a broken hook has skipped."""
    reason = f"the skip_if hook {_name(skip_if)}"
    return f'flask partnerstack requeue --all --status skipped --reason "{reason}"'


def _worded(reason: str) -> str:
    """Return a hook's own words as the ledger keeps them, which no pruning takes out."""
    return without_addresses(spelled_out(reason))[:LONGEST_REASON]


def _check(hook: Callable[..., Any], registrar: str) -> None:
    if not callable(hook) or _is_async(hook):
        raise TypeError(
            f"{registrar}: expected a plain function, got {hook!r}. Nobody awaits it: consent and "
            "skip_if are asked while a response is finished, so await in the view and keep what "
            "came of it on g; when_verified is told in a background thread."
        )


def _is_async(hook: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(type(hook).__call__)


def _origin(hook: Consent) -> object:
    """Return what is the same of each function that one piece of code makes; of others, itself."""
    code = getattr(hook, "__code__", None)
    if code is None:
        return hook
    names = (getattr(hook, "__module__", None), getattr(hook, "__qualname__", None))
    return (*names, code) if code.co_name == "<lambda>" else names


def _is_copy(hook: Callable[..., Any], known: Callable[..., Any]) -> bool:
    """Say whether a hook decides as a known one does, made by the same code from nothing else.

    What closes over a value may be another rule each time: for another domain, say.
    """
    if not (inspect.isfunction(hook) and inspect.isfunction(known)):
        return hook == known
    made_of = [
        (f.__code__, id(f.__globals__), f.__defaults__, f.__kwdefaults__) for f in (hook, known)
    ]
    return hook is known or (made_of[0] == made_of[1] and hook.__closure__ is None)


def _name(hook: Callable[..., Any]) -> str:
    return str(getattr(hook, "__qualname__", type(hook).__name__)).rpartition(".")[2]
