"""Write into the pages what the package says of itself: ``python -m docs.generate``.

It stands between two markers, so that a forge shows what the site does, and is text of the page
like any other::

    <!-- made of settings: COOKIE_NAME COOKIE_PATH -->
    <!-- up to here -->

A test fails where a page differs from the code.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path

from . import names
from . import said

DOCS = Path(__file__).parent
PAGES = sorted([*DOCS.glob("*.md"), *DOCS.glob("recipes/*.md")])
#: What is made, of which names, and what stands there now.
BLOCK = re.compile(
    r"^<!-- made of ([a-z-]+)(?:: ([^\n]*?))? -->\n(.*?)^<!-- up to here -->$", re.M | re.S
)

#: What makes the text, of the names in the marker and of the section below it.
MAKERS: Mapping[str, Callable[[Sequence[str], str], str]] = {
    "settings": lambda keys, _section: "\n".join(map(said.setting, keys)),
    "all-settings": lambda _names, _section: said.all_settings(),
    "commands": lambda commands, _section: "\n".join(map(said.command, commands)),
    "all-commands": lambda _names, _section: said.all_commands(),
    "errors": lambda _names, _section: said.error_tree(),
    "docstrings": lambda _names, section: names.told(section),
}


def written(page: str) -> str:
    """Return a page with all that is made of the code as the code is now."""
    return BLOCK.sub(_made, page)


def _made(block: re.Match[str]) -> str:
    first, *_ = block[0].splitlines()
    section = re.split(r"^## ", block.string[block.end() :], maxsplit=1, flags=re.M)[0]
    text = MAKERS[block[1]]((block[2] or "").split(), section)
    return f"{first}\n\n{text.strip()}\n\n<!-- up to here -->"


def main() -> None:
    """Rewrite the pages that differ from the code, and name them."""
    for path in PAGES:
        before = path.read_text(encoding="utf-8")
        after = written(before)
        if after != before:
            path.write_text(after, encoding="utf-8")
            sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
