"""``Hooks``: what an app's own code decides: may a click be kept, may a conversion be reported.

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
from .referral import Referral

log: Final = logging.getLogger("flask_partnerstack")

Purpose = Literal["keep", "report"]
Consent = Callable[[Purpose, Referral], "bool | None"]
SkipIf = Callable[[Conversion], "str | bool | None"]
ConsentHook = TypeVar("ConsentHook", bound=Consent)
SkipIfHook = TypeVar("SkipIfHook", bound=SkipIf)

#: The longest reason that the ledger has room for.
LONGEST_REASON = 1000


class Hooks:
    """The hooks of one :class:`~.PartnerStack` object."""

    def __init__(self) -> None:
        self._consent: Consent | None = None
        self._skip_if: list[SkipIf] = []

    def add_consent(self, hook: Consent) -> None:
        """Ask ``hook`` from now on.

        :raises RuntimeError: there is one already; which of two would count?
        """
        _check(hook, "consent")
        if self._consent is not None:
            raise RuntimeError(
                f"consent: {_name(self._consent)} is registered already. Ask both questions in it."
            )
        self._consent = hook

    def add_skip_if(self, hook: SkipIf) -> None:
        """Ask ``hook``, too, from now on."""
        _check(hook, "skip_if")
        self._skip_if.append(hook)

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
        reasons = (_reason(hook, conversion) for hook in self._skip_if)
        return next((reason for reason in reasons if reason is not None), None)


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
        log.error(
            "The consent hook %s returned a %s; that counts as no. Expected True, False or None.",
            _name(consent),
            type(answer).__name__,
        )
    return "consent withheld"


def _reason(skip_if: SkipIf, conversion: Conversion) -> str | None:
    try:
        answer = skip_if(conversion)
    except Exception:
        # What is skipped is in the ledger and can be requeued; what is sent cannot be taken back.
        log.exception(
            "The skip_if hook %s raised; the conversion is skipped. Once it is mended: "
            "flask partnerstack requeue.",
            _name(skip_if),
        )
        return f"the skip_if hook {_name(skip_if)} raised"
    if not answer:
        return None
    # A veto counts whatever its words: what the database refused of them would have it forgotten.
    return spelled_out(answer)[:LONGEST_REASON] if isinstance(answer, str) else _name(skip_if)


def _check(hook: object, registrar: str) -> None:
    if not callable(hook) or inspect.iscoroutinefunction(hook):
        raise TypeError(
            f"{registrar}: expected a plain function, got {hook!r}. It is asked while a response "
            "is finished; what has to be awaited, await in the view and keep on g."
        )


def _name(hook: Callable[..., Any]) -> str:
    return str(getattr(hook, "__qualname__", type(hook).__name__)).rpartition(".")[2]
