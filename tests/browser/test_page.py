"""What the snippet does on a page: policies, hooks, what it hands over, what it says."""

from __future__ import annotations

import pytest
from flask import Flask
from flask import render_template_string
from flask_talisman import Talisman

from flask_partnerstack import PartnerStack
from tests.browser.conftest import MakeSite
from tests.browser.shop import building
from tests.browser.visitor import Sandbox
from tests.browser.visitor import Visitor

STRICT = """<!doctype html><html><head><meta charset="utf-8"><title>Shop</title>
<link rel="icon" href="/icon.svg">
<script nonce="{{ csp_nonce() }}">
  var calls = [], violations = [];
  document.addEventListener("securitypolicyviolation", function (e) {
    violations.push(e.violatedDirective + " " + e.blockedURI);
  });
  function growsumoInit() { calls.push([typeof growsumo, growsumo.data.partner_key]); }
</script>
{{ partnerstack_snippet(nonce=csp_nonce) }}
{{ partnerstack_snippet(nonce=csp_nonce) }}
{{ partnerstack_capture(nonce=csp_nonce) }}
</head><body></body></html>"""


def test_strict_policy_with_a_nonce(
    make_site: MakeSite, sandbox: Sandbox, visitor: Visitor
) -> None:
    """Under Talisman's policy nothing is violated; growsumoInit is called once, after load."""

    def build(app: Flask, _: PartnerStack) -> None:
        policy = {
            "default-src": "'none'",
            "script-src": "'self'",
            "img-src": "'self'",
            "connect-src": ["'self'", sandbox.links],
        }
        Talisman(
            app,
            content_security_policy=policy,
            content_security_policy_nonce_in=["script-src"],
            force_https=False,
            session_cookie_secure=False,
        )
        app.add_url_rule("/", "root", lambda: render_template_string(STRICT))
        icon = ("<svg xmlns='http://www.w3.org/2000/svg'/>", {"Content-Type": "image/svg+xml"})
        app.add_url_rule("/icon.svg", "icon", lambda: icon)

    site = make_site(build)
    visitor.go_and_be_captured(sandbox.link("ada", site.url()))
    visitor.await_script("document.cookie.includes('ps_xid=')")

    assert visitor.script("calls") == [["object", "ada"]]
    assert visitor.script("violations") == []
    assert visitor.console == []
    assert visitor.kept() == sandbox.clicked[0]


def test_policy_without_the_nonce_is_violated(
    make_site: MakeSite, sandbox: Sandbox, visitor: Visitor
) -> None:
    """The policy of these tests is one that would be seen to be violated."""

    def build(app: Flask, _: PartnerStack) -> None:
        page = STRICT.replace("partnerstack_snippet(nonce=csp_nonce)", "partnerstack_snippet()")
        Talisman(
            app,
            content_security_policy={"script-src": "'self'"},
            content_security_policy_nonce_in=["script-src"],
            force_https=False,
        )
        app.add_url_rule("/", "root", lambda: render_template_string(page))

    visitor.go(make_site(build).url())
    assert "script-src-elem inline" in visitor.script("violations")


@pytest.mark.parametrize(
    ("policy", "started"),
    [
        ("require-trusted-types-for 'script'", True),
        ("require-trusted-types-for 'script'; trusted-types partnerstack", True),
        ("require-trusted-types-for 'script'; trusted-types 'none'", False),
        ("trusted-types 'none'", True),
    ],
)
def test_policy_of_trusted_types(
    make_site: MakeSite, sandbox: Sandbox, visitor: Visitor, policy: str, started: bool
) -> None:
    """The loader's script is one of the page's own; a policy that names others must name ours."""
    page = "<!doctype html>{{ partnerstack_snippet() }}<script>var ran = true</script>"

    def build(app: Flask, _: PartnerStack) -> None:
        headers = {"Content-Security-Policy": policy}
        app.add_url_rule("/", "root", lambda: (render_template_string(page), headers))

    visitor.context.route(
        "**/pr/js", lambda route: route.fulfill(body="", content_type="text/javascript")
    )
    visitor.go(make_site(build).url())
    tags = visitor.script("document.querySelectorAll('script[data-partnerstack]').length")
    assert (tags == 1, visitor.script("ran")) == (started, True)
    assert any("TrustedScriptURL" in said for said in visitor.console) is not started


def test_policy_that_forbids_the_call_is_said(
    make_site: MakeSite, sandbox: Sandbox, visitor: Visitor
) -> None:
    """Without 'self' in connect-src no click is posted, and the console says so."""

    def build(app: Flask, _: PartnerStack) -> None:
        headers = {"Content-Security-Policy": "connect-src 'none'"}
        page = "<!doctype html>{{ partnerstack_capture() }}"
        app.add_url_rule("/", "root", lambda: (render_template_string(page), headers))

    with visitor.page.expect_console_message(
        lambda message: "click could not be kept" in message.text
    ):
        visitor.go(sandbox.link("ada", make_site(build).url()))


@pytest.mark.parametrize("place", ["head", "body", "deferred"])
def test_init_hook_is_called_wherever_it_is(
    make_site: MakeSite, sandbox: Sandbox, visitor: Visitor, place: str
) -> None:
    """growsumoInit() is honoured before the snippet, after it, and in a script that comes late."""
    hook = "<script>var calls = 0; function growsumoInit() { calls++; }</script>"
    late = '<script src="/hook.js" defer></script>'  # runs when the page is parsed, or later
    before, after = {"head": (hook, ""), "body": ("", hook), "deferred": ("", late)}[place]
    template = f"<!doctype html>{before}{{{{ partnerstack_snippet() }}}}<p>Hello</p>{after}"

    def build(app: Flask, _: PartnerStack) -> None:
        app.add_url_rule("/", "root", lambda: render_template_string(template))
        code = "var calls = 0; function growsumoInit() { calls++; }"
        app.add_url_rule("/hook.js", "hook", lambda: (code, {"Content-Type": "text/javascript"}))

    visitor.go(make_site(build).url())
    visitor.await_script("typeof calls === 'number' && calls > 0")
    assert visitor.script("calls") == 1


def test_partner_key_in_three_places(
    make_site: MakeSite, sandbox: Sandbox, visitor: Visitor
) -> None:
    """The URL, the cookie growSumoPartnerKey, and growsumo.data under both of its names."""
    site = make_site(building("snippet"))
    visitor.go_and_be_seen(sandbox.link("ada", site.url()))

    assert visitor.script("atob(new URLSearchParams(location.search).get('ps_partner_key'))") == (
        "ada"
    )
    assert visitor.cookies()["growSumoPartnerKey"] == "ada"
    assert visitor.script("[growsumo.data.partner_key, growsumo.data.ps_partner_key]") == [
        "ada",
        "ada",
    ]
    assert "friend of ada" in visitor.text()
    visitor.go(site.url("/pricing"))
    assert visitor.script("growsumo.data.ps_partner_key") == "ada"


def test_script_that_fills_in_late_is_seen_under_both_names(
    make_site: MakeSite, sandbox: Sandbox, visitor: Visitor
) -> None:
    """A partner key that PartnerStackJS learns after it was started has both names, too."""
    visitor.go(make_site(building("snippet")).url())
    visitor.await_script("window.growsumo && 'ps_partner_key' in growsumo.data")
    visitor.script("growsumo.data.partner_key = 'late'")
    assert visitor.script("growsumo.data.ps_partner_key") == "late"
    visitor.script("growsumo.data.ps_partner_key = 'later'")
    assert visitor.script("growsumo.data.partner_key") == "later"


def test_server_hands_its_referral_over(
    make_site: MakeSite, sandbox: Sandbox, visitor: Visitor
) -> None:
    """What the server knows is in growsumo.data, though the browser has forgotten; on request."""
    site = make_site(building("handing"))
    visitor.context.route("**/scripted?*", lambda route: route.abort())
    visitor.go(sandbox.link("ada", site.url("/bare")))
    visitor.go(site.url("/pricing"))
    visitor.await_script("window.growsumo && growsumo.data.xid")

    assert visitor.script("growsumo.data.xid") == sandbox.clicked[0]
    assert visitor.script("[growsumo.data.partner_key, growsumo.data.ps_partner_key]") == [
        "ada",
        "ada",
    ]
    visitor.go(site.url("/scripted"))
    assert visitor.script("growsumo.data.xid") is None


@pytest.mark.parametrize("debug", [True, False])
def test_create_signup_is_warned_of(
    make_site: MakeSite, sandbox: Sandbox, visitor: Visitor, debug: bool
) -> None:
    """In debug mode the page's own report is warned of; it is made in any case."""

    def build(app: Flask, partnerstack: PartnerStack) -> None:
        building("snippet")(app, partnerstack)
        app.debug = debug

    visitor.go_and_be_seen(sandbox.link("ada", make_site(build).url()))
    visitor.script("new Promise(done => growsumo.createSignup(done))")

    assert any("createSignup() was called" in said for said in visitor.console) is debug
    assert [s.data["xid"] for s in sandbox.memory.page_signups] == sandbox.clicked


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"status": 404}, "could not be loaded from"),
        ({"body": "var nothing;", "content_type": "text/javascript"}, "could not be started"),
        (
            {
                "body": "window.growsumo = {_initialize: function () { throw new Error('mine') }};",
                "content_type": "text/javascript",
            },
            "could not be started",
        ),
    ],
)
def test_failures_are_seen_in_the_console(
    make_site: MakeSite, visitor: Visitor, answer: dict[str, object], said: str
) -> None:
    """A script that does not come, or does not work, is an error that one can read."""
    visitor.context.route("**/pr/js", lambda route: route.fulfill(**answer))
    visitor.go(make_site(building("snippet")).url())
    assert any(s.startswith("error: PartnerStackJS: ") and said in s for s in visitor.console)


def test_refused_capture_is_seen_in_the_console(
    make_site: MakeSite, sandbox: Sandbox, visitor: Visitor
) -> None:
    """So is an endpoint that answers with an error."""
    visitor.context.route("**/_partnerstack/click", lambda route: route.fulfill(status=500))
    with visitor.page.expect_console_message(
        lambda message: "click could not be kept" in message.text
    ):
        visitor.go(sandbox.link("ada", make_site(building("capture")).url()))


def test_capture_script_calls_for_clicks_only(
    make_site: MakeSite, sandbox: Sandbox, visitor: Visitor
) -> None:
    """Without a click in the URL the endpoint is left alone, however similar a name is."""
    called: list[str] = []
    visitor.context.on("request", lambda request: called.append(request.url))
    site = make_site(building("capture"))
    for query in ("", "?utm_source=x", "?xps_xid=abcd", "?a=ps_xid", "#ps_xid=abcd"):
        visitor.go(site.url(f"/{query}"))
    visitor.go_and_be_captured(site.url("/?a=1&amp;ps_xid=abcd"))

    assert [url for url in called if "_partnerstack" in url] == [site.url("/_partnerstack/click")]
    assert visitor.kept() == "abcd"


def test_page_loaded_ahead_of_time_waits_to_be_shown(
    make_site: MakeSite, sandbox: Sandbox, visitor: Visitor
) -> None:
    """A prerendered page calls the endpoint when, and only when, somebody looks at it."""
    called: list[str] = []
    visitor.context.on("request", lambda request: called.append(request.url))
    visitor.context.add_init_script(
        "Object.defineProperty(document, 'prerendering', {get: () => true})"
    )
    site = make_site(building("capture"))
    visitor.go(site.url("/?ps_xid=ahead1"))
    assert not any("_partnerstack" in url for url in called)
    with visitor.page.expect_response("**/_partnerstack/click"):
        visitor.script("document.dispatchEvent(new Event('prerenderingchange'))")
