"""The operator's page as people use it: with a mouse, a thumb, or the keyboard alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page
from playwright.sync_api import expect

from flask_partnerstack.ledger import Entry
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Status
from tests.dashboard_browser.conftest import Complaints

HOME = "/partnerstack/"
Open = Callable[..., Page]


@pytest.fixture(autouse=True)
def strict(complaints: Complaints) -> object:
    """Whatever is done on the page, the browser has nothing to complain of."""
    yield
    assert complaints == []


def dead(ledger: Ledger) -> Entry:
    return ledger.page(status=Status.DEAD).entries[0]


def drawn(page: Page) -> None:
    page.wait_for_selector("[data-drawn]")


def ink(page: Page, which: str) -> int:
    """How many points of a chart are painted."""
    count: int = page.evaluate(
        """(which) => {
            const canvas = document.querySelector(`canvas[data-table="${which}"]`);
            const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            return data.filter((value, at) => at % 4 === 3 && value > 0).length;
        }""",
        which,
    )
    return count


def test_who_may_not_see_it_is_sent_to_log_in(open_page: Open) -> None:
    """Refused: the app's login. Granted: the page."""
    page = open_page(admin=False)
    page.goto(HOME)
    expect(page).to_have_title("Log in")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Conversions", exact=True)).to_be_visible()


def test_the_charts_are_drawn(open_page: Open) -> None:
    """By day and by partner, without a complaint of the policy, and again for another period."""
    page = open_page()
    page.goto(HOME)
    drawn(page)
    assert ink(page, "by-day") > 1000
    assert ink(page, "by-partner") > 1000
    page.get_by_role("link", name="7 days").click()
    expect(page.get_by_role("heading", name="The last 7 days")).to_be_visible()
    drawn(page)
    assert ink(page, "by-day") > 1000
    assert page.url.endswith(HOME)
    page.get_by_text("The numbers").click()
    expect(page.locator("#by-day tbody tr")).to_have_count(7)


def test_a_customer_is_searched_for(open_page: Open) -> None:
    """Type a part of the name, and there is one line, which leads to the entry."""
    page = open_page()
    page.goto(HOME)
    page.get_by_label("Customer, e-mail").fill("0000077 EXAMPLE")
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".entries tbody tr")).to_have_count(1)
    page.get_by_role("link", name="cus_0000077").click()
    expect(page.get_by_role("heading", name="cus_0000077")).to_be_visible()
    expect(page.get_by_text("Example 77", exact=False).first).to_be_visible()


def test_pages_are_turned(open_page: Open) -> None:
    """Older, older, and back."""
    page = open_page()
    page.goto(HOME)
    page.get_by_role("link", name="Older").click()
    expect(page.get_by_role("link", name="cus_0000349")).to_be_visible()
    page.get_by_role("link", name="Newer").click()
    expect(page.get_by_role("link", name="cus_0000399")).to_be_visible()


def test_a_dead_entry_is_requeued(open_page: Open, ledger: Ledger) -> None:
    """One button, and the page says that it is done."""
    entry = dead(ledger)
    page = open_page()
    page.goto(f"{HOME}entry/{entry.id}")
    page.get_by_role("button", name="Requeue").click()
    expect(page.get_by_text("It is pending again")).to_be_visible()
    assert ledger.get(entry.customer_key).status is Status.PENDING


def test_a_customer_is_erased(open_page: Open, ledger: Ledger) -> None:
    """Not by one click: it is said first what is lost."""
    entry = dead(ledger)
    page = open_page()
    page.goto(f"{HOME}entry/{entry.id}")
    expect(page.get_by_role("button", name="Erase for good")).to_be_hidden()
    page.get_by_text("Erase this customer").click()
    page.get_by_role("button", name="Erase for good").click()
    expect(page.get_by_role("heading", name="erased customer")).to_be_visible()
    assert ledger.find(entry.id).customer_key == ""


def press(page: Page, wanted: str) -> None:
    """Go on with Tab until what is wanted has the focus, which can be seen; then press Enter."""
    for _ in range(200):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        if focused.count() and wanted in (focused.inner_text() or ""):
            assert focused.evaluate("el => getComputedStyle(el).outlineStyle") != "none"
            page.keyboard.press("Enter")
            return
    raise AssertionError(f"{wanted} cannot be reached with the keyboard")


def test_the_keyboard_is_enough(open_page: Open, ledger: Ledger) -> None:
    """From the first page to an erased customer without a mouse, seeing where one is."""
    entry = dead(ledger)
    page = open_page()
    page.goto(HOME)
    drawn(page)
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "Skip to content"
    press(page, "dead")
    page.wait_for_url("**status=dead")
    press(page, entry.customer_key)
    page.wait_for_url("**/entry/*")
    press(page, "Erase this customer")
    press(page, "Erase for good")
    expect(page.get_by_role("heading", name="erased customer")).to_be_visible()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("path", ["", "?q=grace", "chart?days=90", "entry"])
def test_a_phone_shows_all_of_it(open_page: Open, ledger: Ledger, path: str, dark: bool) -> None:
    """At 375 pixels nothing sticks out, and what is to be touched is large enough."""
    page = open_page(width=375, dark=dark)
    page.goto(HOME + (f"entry/{dead(ledger).id}" if path == "entry" else path))
    if "q=" not in path and path != "entry":
        drawn(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    for button in page.locator("button:visible").all():
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 44


CONTRAST = """() => {
    const light = ([r, g, b]) => {
        const [x, y, z] = [r, g, b].map((v) => v / 255)
            .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const parse = (text) => text.match(/[\\d.]+/g).map(Number);
    const ground = (el) => {
        for (; el; el = el.parentElement) {
            const colour = parse(getComputedStyle(el).backgroundColor);
            if (colour.length === 3 || colour[3] === 1) return colour;
        }
        return [255, 255, 255];
    };
    const weak = [];
    for (const el of document.querySelectorAll("main *, header *")) {
        const own = [...el.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
        if (!own || !el.checkVisibility() || el.tagName === "OPTION") continue;
        const [a, b] = [light(parse(getComputedStyle(el).color)), light(ground(el))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) weak.push(`${el.tagName} ${el.textContent.trim().slice(0, 30)} ${ratio}`);
    }
    return weak;
}"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_everything_can_be_read(open_page: Open, ledger: Ledger, dark: bool) -> None:
    """By day and by night each text stands out from its ground (WCAG AA, 4.5 to 1)."""
    page = open_page(dark=dark)
    for path in ("", f"entry/{dead(ledger).id}"):
        page.goto(HOME + path)
        if not path:
            drawn(page)
        assert page.evaluate(CONTRAST) == []


def test_without_scripts_the_figures_are_a_page(open_page: Open, site: str) -> None:
    """The chart is drawn from a page that can be read by itself."""
    browser = open_page(admin=False).context.browser
    assert browser is not None
    context = browser.new_context(base_url=site, java_script_enabled=False)
    context.request.post(f"{site}/login")
    page = context.new_page()
    page.goto(HOME)
    page.get_by_role("link", name="Conversions by day and by partner").click()
    page.get_by_text("The numbers").click()
    expect(page.locator("#by-day tbody tr")).to_have_count(30)
    context.close()
