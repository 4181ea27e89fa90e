from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flask_partnerstack.sandbox.memory import Memory

from .conftest import Visitor


@pytest.mark.parametrize("end", [b"", b'{"received": {"at"'])
def test_records_survive(make_visitor: type[Visitor], tmp_path: Path, end: bytes) -> None:
    """A new sandbox on the same file knows what the old one knew, half a last line or not."""
    records = tmp_path / "records.jsonl"
    old = make_visitor(records=records)
    old.click("/l/ann")
    for name in ("first", "second"):
        old.send(xid=old.show("clicks")[0]["xid"], name=name)
    old.send("43", email=1)
    known = {name: old.show(name) for name in ("clicks", "received", "customers")}
    close(old)
    with records.open("ab") as file:
        file.write(end)

    new = make_visitor(records=records)
    assert {name: new.show(name) for name in known} == known
    new.send("44")
    close(new)
    assert len(records.read_bytes().splitlines()) == 5


def close(visitor: Visitor) -> None:
    """Let go of the records, as the server does in the end."""
    memory: Memory = visitor.app.extensions["partnerstack_sandbox"].memory
    memory.close()


def test_clear_empties_the_records(make_visitor: type[Visitor], tmp_path: Path) -> None:
    """What was forgotten does not come back with the next start."""
    visitor = make_visitor(records=tmp_path / "records.jsonl")
    visitor.click("/l/ann")
    visitor.client.post("/_sandbox/clear")
    close(visitor)

    assert (tmp_path / "records.jsonl").read_bytes() == b""


@pytest.mark.parametrize("line", ["hello", "7"])
def test_foreign_file_is_refused(tmp_path: Path, line: str) -> None:
    """A file that the sandbox did not write is named, with the line."""
    path = tmp_path / "notes.txt"
    path.write_text(f'{{"of": "tomorrow"}}\n{line}\n', encoding="utf-8")

    with pytest.raises(ValueError, match=r"notes\.txt, line 2: expected a JSON object"):
        Memory(path)


def test_one_customer_from_many_threads() -> None:
    """Of conversions of one customer that arrive together, exactly one is the first."""
    memory = Memory()
    raw = '{"customer_key": "42", "xid": "abcd"}'
    with ThreadPoolExecutor(8) as pool:
        first = list(pool.map(lambda at: memory.add_customer(raw, at), range(200)))

    assert first.count(True) == 1
    assert len(memory.customers) == 1
