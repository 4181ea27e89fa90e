"""What each public name is, in one line, from its docstring.

Which names there are is said by the directives of Sphinx's autodoc that follow on the page, so that
the two have the same.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

PACKAGE = "flask_partnerstack"
#: Kind, name, options, and the text of those that have one in the place of a docstring.
DIRECTIVE = re.compile(
    r"^\.\. (auto\w+|py:data|py:function):: ([\w.]+).*\n((?:   :.*\n)*)(?:\n   (\w.*)\n)?", re.M
)


def told(section: str) -> str:
    """Return a table of the names whose directives stand in a section."""
    rows = (row for found in DIRECTIVE.finditer(section) for row in _rows(*found.groups()))
    return "\n".join(["| name | what it is |", "|---|---|", *rows])


def _rows(kind: str, name: str, options: str, text: str | None) -> Iterator[str]:
    short = name.removeprefix(f"{PACKAGE}.")
    if text:  # its module needs an extra, or it has no docstring
        yield _row(f"{short}()" if kind == "py:function" else short, text)
        return
    thing = _found(short)
    yield _row(_called(short, thing), _first_sentence(thing))
    for member in _members(thing, dict(re.findall(r"^   :([\w-]+): ?(.*)$", options, re.M))):
        found = getattr(thing, member)
        yield _row(_called(f"{thing.__name__}.{member}", found), _first_sentence(found))


def _row(name: str, text: str) -> str:
    return f"| `{name}` | {_plain(text)} |"


def _found(short: str) -> Any:
    module, _, name = short.rpartition(".")
    return getattr(import_module(f"{PACKAGE}.{module}".rstrip(".")), name)


def _called(name: str, thing: Any) -> str:
    return f"{name}()" if inspect.isroutine(thing) else name


def _members(thing: Any, options: dict[str, str]) -> Iterator[str]:
    """Yield the members that autodoc documents with these options, in its order."""
    if "members" not in options:
        return
    wanted, left_out = (_list(options.get(name, "")) for name in ("members", "exclude-members"))
    classes = thing.__mro__ if "inherited-members" in options else [thing]
    ours = [c for c in reversed(classes) if c.__module__.startswith(PACKAGE)]
    for name in wanted or dict.fromkeys(name for c in reversed(ours) for name in vars(c)):
        if name not in left_out and not name.startswith("_") and _is_told(thing, name):
            yield name


def _list(option: str) -> list[str]:
    return [name.strip() for name in option.split(",") if name.strip()]


def _is_told(thing: Any, name: str) -> bool:
    member = getattr(thing, name)
    return inspect.isroutine(member) or isinstance(member, property)


def _first_sentence(thing: Any) -> str:
    paragraph = (inspect.getdoc(thing) or "").partition("\n\n")[0]
    return re.split(r"(?<=\.)\s", paragraph, maxsplit=1)[0].rstrip(":")


def _plain(text: str) -> str:
    """Return reST as Markdown in a cell."""
    text = re.sub(r":doc:`(\w+)`", r"[\1](\1.md)", text)
    text = re.sub(r":\w+:`[~.]*(?:[\w.]*\.)?(\w+)`", r"`\1`", " ".join(text.split()))
    return text.replace("``", "`").replace("|", r"\|")
