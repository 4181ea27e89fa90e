"""Directives that put what :mod:`.said` makes on a page.

A page that names a key, a command or an error which is not there does not build, and a set of pages
that leaves one out does not either.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.logging import getLogger

from . import said

log = getLogger(__name__)


class _Said(SphinxDirective):
    """One name a line; each becomes a section."""

    has_content = True
    make: Callable[[str], str]
    known: Mapping[str, Any]

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        names = [line.strip() for line in self.content if line.strip()]
        unknown = [name for name in names if name not in self.known]
        if unknown:
            raise self.error(f"There is no such name in the package: {', '.join(unknown)}")
        self.env.note_reread()  # what it is made from is no page, so nobody sees it change
        placed = self.env.metadata.setdefault(self.env.docname, {})
        placed[self.name] = [*placed.get(self.name, ()), *names]
        return _parsed(self, "\n".join(map(type(self).make, names)))


class Settings(_Said):
    """Keys of the configuration."""

    make = staticmethod(said.setting)
    known = said.SETTINGS


class Commands(_Said):
    """Commands of ``flask partnerstack``."""

    make = staticmethod(said.command)
    known = said.COMMANDS


class ErrorTree(SphinxDirective):
    """The tree of the errors."""

    def run(self) -> list[nodes.Node]:
        """Return the drawing."""
        return _parsed(self, said.error_tree())


def _parsed(directive: SphinxDirective, markdown: str) -> list[nodes.Node]:
    container = nodes.Element()
    lines = StringList(markdown.splitlines(), source=directive.name)
    directive.state.nested_parse(lines, 0, container, match_titles=True)
    return [*container.children]


DIRECTIVES: Mapping[str, type[_Said]] = {
    "partnerstack-settings": Settings,
    "partnerstack-commands": Commands,
}


def complain_of_missing(_app: Sphinx, env: Any) -> None:
    """Warn of each name that is on no page, or on two."""
    for name, directive in DIRECTIVES.items():
        placed = [one for page in env.metadata.values() for one in page.get(name, ())]
        for one in sorted({*directive.known, *placed}):
            if placed.count(one) != 1:
                log.warning("%s is in %s blocks of %s, not in one", one, placed.count(one), name)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    for name, directive in DIRECTIVES.items():
        app.add_directive(name, directive)
    app.add_directive("partnerstack-error-tree", ErrorTree)
    app.connect("env-check-consistency", complain_of_missing)
    return {"parallel_read_safe": True}
