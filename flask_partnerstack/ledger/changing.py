"""``change``: changes many entries at once, in nobody's way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from typing import Final

from sqlalchemy import ColumnElement
from sqlalchemy import Connection
from sqlalchemy import bindparam
from sqlalchemy import select

from .tables import entries

#: Entries that one statement changes by their ids.
AT_ONCE = 500
#: Where a change locks all that it looks through, and what lies between: the next signup's place,
#: and each signup that is not committed yet.
#: https://dev.mysql.com/doc/refman/8.0/en/innodb-locks-set.html
_LOCKING_ALL: Final = frozenset({"mysql", "mariadb"})
_BY_ID = entries.update().where(entries.c.id.in_(bindparam("ids", expanding=True)))
# Said to it, because it would look through the whole table where that is not much longer.
for _dialect in _LOCKING_ALL:
    _BY_ID = _BY_ID.with_hint("FORCE INDEX (PRIMARY)", dialect_name=_dialect)


def change(conn: Connection, wanted: ColumnElement[bool], values: Mapping[Any, Any]) -> int:
    """Change all entries that ``wanted`` selects; return how many.

    On MySQL and MariaDB they are looked for before anything is locked, and then only they are.
    """
    if conn.dialect.name not in _LOCKING_ALL:
        return conn.execute(entries.update().where(wanted).values(values)).rowcount
    found = conn.scalars(select(entries.c.id).where(wanted).order_by(entries.c.id)).all()
    changed = _BY_ID.where(wanted).values(values)
    some = (found[first : first + AT_ONCE] for first in range(0, len(found), AT_ONCE))
    return sum(conn.execute(changed, {"ids": ids}).rowcount for ids in some)
