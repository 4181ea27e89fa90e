"""The credentials on the wire: how the key pair is sent, and how no answer shows any of them."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable
from collections.abc import Sequence
from urllib.parse import quote


def basic(public_key: str, secret_key: str) -> str:
    """Return the key pair as Basic authentication sends it, the public key as user name."""
    return base64.b64encode(f"{public_key}:{secret_key}".encode()).decode()


def secrets_of(token: str | None, public_key: str | None, secret_key: str | None) -> list[bytes]:
    """Return what no answer may show, in every way that a service may write it; longest first."""
    pair = basic(public_key, secret_key) if public_key and secret_key else None
    ways = {
        write(secret)
        for secret in (token, public_key, secret_key, pair)
        if secret
        for write in _WAYS
    }
    return sorted((way.encode() for way in ways), key=len, reverse=True)


#: As it is; in a URL; in a page; in JSON, where a slash may be escaped or not.
_WAYS: tuple[Callable[[str], str], ...] = (
    str,
    lambda secret: quote(secret, safe=""),
    html.escape,
    lambda secret: json.dumps(secret)[1:-1],
    lambda secret: json.dumps(secret)[1:-1].replace("/", r"\/"),
)


def without_secrets(body: bytes, secrets: Sequence[bytes]) -> str:
    """Return an answer's body as one printable line, each secret masked.

    :param secrets: what :func:`secrets_of` returned.
    """
    for secret in secrets:
        body = body.replace(secret, b"***")
    line = " ".join(body.decode("utf-8", "replace").split())
    return _without_broken("".join(filter(str.isprintable, line)), secrets)


def _without_broken(line: str, secrets: Sequence[bytes]) -> str:
    """Mask what became a secret only now that the NULs of UTF-16, or a line end in it, went."""
    bare = line.replace(" ", "")
    for secret in map(bytes.decode, secrets):
        if secret in bare:  # cheaper than the search, which rarely finds any
            line = re.sub(" *".join(map(re.escape, secret)), "***", line)
    return line
