"""A file of JSON lines, from which a restarted sandbox knows what it knew."""

from __future__ import annotations

import json
from collections.abc import Iterator
from collections.abc import Mapping
from io import BufferedRandom
from pathlib import Path
from typing import Any


class Records:
    """Appends one JSON document a line; without a path it does nothing.

    :raises ValueError: while reading, when a finished line is not a JSON object.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: BufferedRandom | None = path.open("a+b") if path else None

    def read(self) -> Iterator[Mapping[str, Any]]:
        """Every document so far, oldest first."""
        if not self._file:
            return
        self._cut_torn_line(self._file)
        self._file.seek(0)
        for number, line in enumerate(self._file, start=1):
            yield self._document(number, line)

    def append(self, document: Mapping[str, Any]) -> None:
        """Write a document where the end of the process cannot take it back."""
        if self._file:
            self._file.write(json.dumps(document).encode() + b"\n")
            self._file.flush()

    def clear(self) -> None:
        """Empty the file."""
        if self._file:
            self._file.truncate(0)

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        if self._file:
            self._file.close()

    def _cut_torn_line(self, file: BufferedRandom) -> None:
        # A process that was killed while it wrote leaves half a line, which nobody was answered.
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)

    def _document(self, number: int, line: bytes) -> Mapping[str, Any]:
        try:
            document = json.loads(line)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise ValueError(f"{self._path}, line {number}: expected a JSON object of the sandbox")
        return document
