"""``Named``: the part of the ledger that has a name, by which it is told from every other one."""

from __future__ import annotations

import secrets
from typing import Final

from .clocked import Clocked
from .facts import hold_facts
from .facts import read_fact
from .facts import write_fact
from .trouble import tried_again

#: The fact. Not the identity that a move goes by: a copy of the file may be moved back.
NAME: Final = "name"


class Named(Clocked):
    """Says which ledger it is, wherever it is looked at from."""

    def name(self) -> str:
        """Return what this ledger is called in the messages that are about it."""
        with self._database.read() as conn:
            found = read_fact(conn, NAME)
        return found or self._give_name()

    @tried_again
    def _give_name(self) -> str:
        with self._database.write() as conn:
            hold_facts(conn)
            found = read_fact(conn, NAME) or secrets.token_hex(8)
            write_fact(conn, NAME, found)
            return found
