"""Who signs up by themselves is reported when, and only when, they became a customer."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from examples.saas.tests.browser import Browser
from flask_partnerstack import Entry


def test_referred_signup_is_recorded_once(visitor: Browser, recorded: list[Entry]) -> None:
    """Who came by a partner's link and signs up is one conversion, under their public ID."""
    visitor.arrive_by_link("Kvx64pph9uhCju")
    visitor.client.get("/pricing")
    assert visitor.sign_up().location == "/account"
    (entry,) = recorded
    assert (entry.xid, entry.partner_key) == ("Kvx64pph9uhCju", "ada")
    assert entry.customer_key in visitor.client.get("/account").text


def test_unreferred_signup_records_nothing(visitor: Browser, recorded: list[Entry]) -> None:
    """Who came by themselves is a customer, and nobody's conversion."""
    assert visitor.sign_up().location == "/account"
    assert recorded == []


@pytest.mark.parametrize(
    "mistake",
    [{"name": " "}, {"email": "grace"}, {"password": "short"}, {"plan": "free-for-ever"}],
    ids=lambda mistake: next(iter(mistake)),
)
def test_form_with_errors_records_nothing(
    visitor: Browser, recorded: list[Entry], mistake: dict[str, str]
) -> None:
    """A form that is shown again with its errors has made no customer."""
    visitor.arrive_by_link("Kvx64pph9uhCju")
    answer = visitor.sign_up(**mistake)
    assert answer.status_code == 200
    assert 'class="errors"' in answer.text
    assert recorded == []


def test_form_without_csrf_token_records_nothing(visitor: Browser, recorded: list[Entry]) -> None:
    """A form that another site sent in the visitor's name is refused."""
    visitor.arrive_by_link("Kvx64pph9uhCju")
    fields = {"name": "G", "email": "g@example.com", "password": "correct horse", "plan": "starter"}
    assert visitor.client.post("/signup", data=fields).status_code == 400
    assert recorded == []


def test_taken_address_records_nothing(
    visitor: Browser, make_browser: Callable[[], Browser], recorded: list[Entry]
) -> None:
    """An address that is taken leads back to the form, with the reason, and makes no customer."""
    make_browser().sign_up(email="grace@example.com")
    visitor.arrive_by_link("Kvx64pph9uhCju")
    assert visitor.sign_up(email="Grace@Example.com").location == "/signup"
    assert "There is an account with this address already" in visitor.client.get("/signup").text
    assert recorded == []


def test_double_submit_records_once(
    visitor: Browser, make_browser: Callable[[], Browser], recorded: list[Entry]
) -> None:
    """The same form sent twice, as by an impatient finger, is one conversion."""
    impatient = make_browser()
    for browser in (visitor, impatient):
        browser.arrive_by_link("Kvx64pph9uhCju")
        browser.sign_up()
    assert len(recorded) == 1


def test_logged_in_customer_signs_up_no_second_time(
    visitor: Browser, recorded: list[Entry]
) -> None:
    """A customer who comes back by a partner's link stays the customer that they were."""
    visitor.sign_up()
    visitor.arrive_by_link("Kvx64pph9uhCju")
    assert visitor.client.get("/signup").location == "/account"
    assert recorded == []


def test_referred_visitor_is_greeted(visitor: Browser) -> None:
    """The landing page names the partner, and so does every page after it."""
    assert "<strong>ada</strong>" in visitor.arrive_by_link("Kvx64pph9uhCju").text
    assert "<strong>ada</strong>" in visitor.client.get("/pricing").text


def test_partner_key_is_escaped(visitor: Browser) -> None:
    """What a link calls its partner is text, and never markup."""
    page = visitor.arrive_by_link("Kvx64pph9uhCju", partner_key="%3Cscript%3E").text
    assert "<strong>&lt;script&gt;</strong>" in page
