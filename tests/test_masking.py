"""What a log line says of a customer."""

from __future__ import annotations

import pytest

from flask_partnerstack.masking import looks_like_email
from flask_partnerstack.masking import masked
from flask_partnerstack.masking import without_addresses


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("alice@acme.com", True),
        ("a.b+c@mail.acme.co.uk", True),
        ("acme", False),
        ("@acme.com", False),
        ("alice@acme", False),
        ("alice smith@acme.com", False),
        ("a@b@acme.com", False),
    ],
)
def test_looks_like_email(text: str, expected: bool) -> None:
    """An e-mail address is known by its looks."""
    assert looks_like_email(text) is expected


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("7f3e", "7f3e"),
        ("alice@acme.com", "a***@acme.com"),
        ("@acme.com", "***@acme.com"),
        ("a@b@acme.com", "a***@acme.com"),
        ("a\nb\udfff", r"a\nb\udfff"),
    ],
)
def test_masked(key: str, shown: str) -> None:
    """In logs an e-mail address is its first letter and host; other keys are whole, on a line."""
    assert masked(key) == shown


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("no such jo.doe@acme.com here", "no such j***@acme.com here"),
        ("/customers/jo%40acme.com?x", "/customers/j***@acme.com?x"),
        ("staff: jürgen@bücher.example", "staff: j***@bücher.example"),
        ("/customers/jo%2540acme.com?x", "/customers/j***@acme.com?x"),
        (r'{"email": "jo\u0040acme.com"}', '{"email": "j***@acme.com"}'),
        (r"{\"email\": \"jo\\u0040acme.com\"}", r"{\"email\": \"j***@acme.com\"}"),
        (r"'jo\x40acme.com'", "'j***@acme.com'"),
        ("<b>jo&#64;acme.com</b>", "<b>j***@acme.com</b>"),
        ("<b>jo&#064;acme.com, al&#X40;acme.com</b>", "<b>j***@acme.com, a***@acme.com</b>"),
        ("jo&commat;acme.com", "j***@acme.com"),
        ("nothing to see @ all", "nothing to see @ all"),
        ("", ""),
    ],
)
def test_other_peoples_words_are_shown_without_addresses(said: str, shown: str) -> None:
    """An answer that quotes an e-mail address is logged with the address masked."""
    assert without_addresses(said) == shown


def test_a_long_word_is_read_once() -> None:
    """A form may send 16 KiB without a space in it, and a signup waits."""
    word = "a" * 1_000_000
    assert without_addresses(word) == word
    assert without_addresses(f"{word} jo@acme.com") == f"{word} j***@acme.com"
