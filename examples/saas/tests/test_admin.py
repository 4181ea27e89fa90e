"""Who an admin approves is reported with the click of their own."""

from __future__ import annotations

from examples.saas.tests.browser import Browser
from flask_partnerstack import Entry


def test_waiting_signup_records_nothing(visitor: Browser, recorded: list[Entry]) -> None:
    """Who asks for the Team plan is no customer yet."""
    visitor.arrive_by_link("Kvx64pph9uhCju")
    visitor.sign_up(plan="team")
    assert "within a day" in visitor.client.get("/account").text
    assert recorded == []


def test_approval_records_click_of_signup(
    visitor: Browser, admin: Browser, recorded: list[Entry]
) -> None:
    """Approved, they are a conversion by the link they came by."""
    visitor.arrive_by_link("Kvx64pph9uhCju")
    visitor.sign_up(plan="team")
    assert admin.approve("Grace Hopper").location == "/admin/"
    assert [entry.xid for entry in recorded] == ["Kvx64pph9uhCju"]
    assert "Your inbox is ready." in visitor.client.get("/account").text


def test_approval_never_credits_click_of_admin(
    visitor: Browser, admin: Browser, recorded: list[Entry]
) -> None:
    """An admin who once followed a partner's link gives that partner no customers."""
    admin.arrive_by_link("AdminsOwnClick")
    visitor.sign_up(plan="team")
    admin.approve("Grace Hopper")
    assert recorded == []


def test_click_of_signup_beats_click_of_admin(
    visitor: Browser, admin: Browser, recorded: list[Entry]
) -> None:
    """When both came by a link, the customer's counts."""
    admin.arrive_by_link("AdminsOwnClick")
    visitor.arrive_by_link("Kvx64pph9uhCju")
    visitor.sign_up(plan="team")
    admin.approve("Grace Hopper")
    assert [entry.xid for entry in recorded] == ["Kvx64pph9uhCju"]


def test_approving_twice_records_once(
    visitor: Browser, admin: Browser, recorded: list[Entry]
) -> None:
    """A button that is pressed twice is one conversion."""
    visitor.arrive_by_link("Kvx64pph9uhCju")
    visitor.sign_up(plan="team")
    admin.approve("Grace Hopper")
    again = f"/admin/approve/{recorded[0].customer_key}"
    assert admin.send(again, shown_at="/admin/").location == "/admin/"
    assert len(recorded) == 1


def test_approval_is_for_admins(visitor: Browser, admin: Browser) -> None:
    """A customer finds no admin page, and a stranger is asked to log in."""
    stranger = Browser(admin.client.application)
    assert stranger.client.get("/admin/").location == "/login?next=%2Fadmin%2F"
    visitor.sign_up()
    assert visitor.client.get("/admin/").status_code == 404


def test_login_with_wrong_password_fails(admin: Browser) -> None:
    """Address and password must belong together."""
    stranger = Browser(admin.client.application)
    answer = stranger.log_in("admin@kettle.example", "incorrect horse")
    assert "do not match" in answer.text
    assert stranger.client.get("/account").status_code == 302


def test_logged_out_is_logged_out(visitor: Browser) -> None:
    """Who logs out is a stranger again."""
    visitor.sign_up()
    visitor.send("/logout", shown_at="/account")
    assert visitor.client.get("/account").status_code == 302
