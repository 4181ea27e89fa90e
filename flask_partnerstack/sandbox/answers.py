"""Answers: how a status and a message travel, when all is well and when a fault strikes."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from typing import NamedTuple
from typing import NoReturn

from flask import Response
from flask import request

from .fault import Fault
from .faults import Strike

#: Where the server looks, in the WSGI environment, for how slowly an answer is to be sent.
DRIP = "flask_partnerstack.sandbox.drip"

_CHUNK = 64 * 1024


class Answer(NamedTuple):
    """What PartnerStack would say: a status, and a JSON document or nothing."""

    status: int
    document: Mapping[str, Any] | None = None

    @classmethod
    def refusal(cls, status: int, message: str) -> Answer:
        """An error in the envelope that the API uses."""
        return cls(status, {"message": message, "status": status})

    @property
    def message(self) -> str:
        """What it says in words; empty when it says nothing."""
        return str(self.document["message"]) if self.document else ""


def envelope(status: int, message: str) -> Response:
    """An error as a response."""
    return respond(Answer.refusal(status, message))


def respond(answer: Answer) -> Response:
    """The answer as a response; nothing to say is an empty body without a type."""
    if answer.document is None:
        response = Response(status=answer.status)
        del response.headers["Content-Type"]
        return response
    body = json.dumps(answer.document)
    return Response(body, status=answer.status, mimetype="application/json")


def answered_status(fault: Fault, usual: int) -> int | None:
    """The status that the client will see; nothing when it gets no answer."""
    if fault.silent:
        return None
    return fault.status or (302 if fault.redirect else usual)


def spoil(usual: Answer, strike: Strike) -> Response:
    """The usual answer, after the fault had its way with it."""
    fault = strike.fault
    if fault.silent:
        return Response(_silence(strike))
    response = respond(usual._replace(status=answered_status(fault, usual.status) or 0))
    _dress(response, fault)
    _fill(response, fault)
    if fault.drip:
        request.environ[DRIP] = strike
    return response


def _silence(strike: Strike) -> Iterator[bytes]:
    # Started by the server, outside of Flask, which would turn the error into a 500.
    strike.wait(strike.fault.hang)
    yield from _hang_up()


def _hang_up() -> NoReturn:
    raise ConnectionAbortedError("the sandbox closes the connection: a fault says so")


def _dress(response: Response, fault: Fault) -> None:
    if fault.status is not None and fault.body is None:
        # An answer instead of processing must not tell what processing would have said.
        response.data = b""
    if fault.redirect:
        response.headers["Location"] = fault.redirect
        response.autocorrect_location_header = False
    for name, value in fault.headers or ():
        response.headers[name] = value


def _fill(response: Response, fault: Fault) -> None:
    if fault.body is not None:
        response.data = fault.body.encode()
    elif fault.huge:
        response.response = _zeros(fault.huge)
        response.content_length = fault.huge
    elif fault.gzip_bomb:
        response.data = gzip_zeros(fault.gzip_bomb)
        response.headers["Content-Encoding"] = "gzip"


def _zeros(size: int) -> Iterator[bytes]:
    for start in range(0, size, _CHUNK):
        yield b"0" * min(_CHUNK, size - start)


@lru_cache(maxsize=2)
def gzip_zeros(size: int) -> bytes:
    """So many zeros, compressed: about a thousandth of their size."""
    gzip = zlib.compressobj(wbits=31)  # https://docs.python.org/3/library/zlib.html
    return b"".join(map(gzip.compress, _zeros(size))) + gzip.flush()
