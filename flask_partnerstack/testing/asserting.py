"""What PartnerStack was to be told beside what it was told, so that the difference can be read."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from ..conversion import Conversion
from ..ledger import Entry

Reported = Mapping[str, Any]

#: What can be expected of a conversion.
FIELDS = tuple(name for name in Conversion.__dataclass_fields__ if name != "customer_key")


def check_fields(expected: Mapping[str, object]) -> None:
    """Make sure that what is expected is something that a conversion has.

    :raises TypeError: naming the first that it has not.
    """
    for name in expected:
        if name not in FIELDS:
            raise TypeError(f"{name}: no conversion has that; there are {', '.join(FIELDS)}")


def differences(customer_key: str, expected: Reported, reported: Reported) -> str:
    """Return the fields side by side where any differs; empty when none does."""
    wanted = {name: _plain(value) for name, value in expected.items()}
    if all(wanted[name] == _plain(reported.get(name)) for name in wanted):
        return ""
    lines = [f"The conversion of customer {customer_key!r} is not what was expected:", ""]
    for name, value in wanted.items():
        found = _plain(reported.get(name))
        if value == found:
            lines.append(f"    {name}: {value!r}")
        else:
            lines += [f"  - {name}: {value!r}   expected", f"  + {name}: {found!r}   reported"]
    others = [name for name in reported if name not in (*wanted, "customer_key")]
    lines += [f"    {name}: {reported[name]!r}" for name in others]
    return "\n".join(lines)


def not_converted(
    customer_key: str | None, received: Sequence[Mapping[str, Any]], entries: Iterable[Entry]
) -> str:
    """Say that nothing was taken, and all that is known of why."""
    who = "nobody's conversion" if customer_key is None else f"no conversion of {customer_key!r}"
    return "\n".join(
        [
            f"PartnerStack took {who}.",
            "",
            *_listed("It was sent:", map(_sent, received), "It was sent nothing."),
            *_listed("In the ledger:", map(_kept, entries), _NOTHING_RECORDED),
        ]
    )


_NOTHING_RECORDED = (
    "Nothing is in the ledger. Did the visitor arrive by a link (partnerstack_client.arrive()), "
    "did the signup succeed, and did its view, under @track_signup, call set_customer()? An ERROR "
    "or WARNING in the log says what went wrong."
)


def too_many(customer_key: str | None, received: Iterable[Mapping[str, Any]]) -> str:
    """Say that more was taken than one conversion."""
    what = "more than one conversion" if customer_key is None else f"{customer_key!r} repeatedly"
    return "\n".join([f"PartnerStack took {what}:", *(f"  {_sent(one)}" for one in received)])


def _listed(heading: str, lines: Iterable[str], nothing: str) -> list[str]:
    listed = [f"  {line}" for line in lines]
    return [heading, *listed] if listed else [nothing]


def _sent(one: Mapping[str, Any]) -> str:
    body = one["body"]
    answer = "no answer" if one["status"] is None else f"HTTP {one['status']}"
    note = f", {one['note']}" if one["note"] else ""
    return f"{body.get('customer_key')!r}, xid {body.get('xid')} → {answer}{note}"


def _kept(entry: Entry) -> str:
    reason = f": {entry.reason}" if entry.reason else ""
    sent = "once" if entry.attempts == 1 else f"{entry.attempts} times"
    return f"{entry.customer_key!r}, {entry.status.value}{reason}, sent {sent}"


def _plain(value: object) -> object:
    """Return a value as JSON has it, so that a tuple is a list."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
