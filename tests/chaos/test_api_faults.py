"""PartnerStack refuses, is away, answers nothing or nonsense: nothing lost, nothing doubled."""

from __future__ import annotations

import ssl
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING
from typing import Any

import pytest

from flask_partnerstack.errors import Judgement
from flask_partnerstack.ledger import Ledger
from flask_partnerstack.ledger import Status
from flask_partnerstack.sandbox import SandboxProcess
from tests.wire.peer import OK
from tests.wire.peer import Peer
from tests.wire.peer import Talk
from tests.wire.peer import answering

if TYPE_CHECKING:
    from tests.e2e.conftest import Site
    from tests.e2e.conftest import Visitor

AtRest = Callable[[float], bool]
Count = Callable[[], Counter[str]]
DeliverAt = Callable[..., int]
Eventually = Callable[[Callable[[], bool]], None]
InWork = Callable[[], int]
OpenSite = Callable[..., "Site"]
RestartAt = Callable[..., None]
Say = Callable[[str], None]
SignUpMany = Callable[["Site", int], float]
Size = Callable[[float, float], float]
Visit = Callable[["Site", str], "Visitor"]
Waited = Callable[[], bool]

FIFTY = {f"customer-{number}": 1 for number in range(50)}


def count(ledger: Ledger, status: Status) -> int:
    return ledger.counts()[status]


def is_paused(ledger: Ledger) -> bool:
    return ledger.outlook().pause is not None


def attempts(ledger: Ledger) -> int:
    return sum(len(ledger.trail(entry)) for entry in ledger.entries(limit=1000))


# --- it refuses ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("503", {"status": 503}),
        ("429 with Retry-After", {"status": 429, "headers": {"Retry-After": "2"}}),
    ],
)
def test_fifty_signups_while_it_refuses(
    name: str,
    fault: dict[str, Any],
    sandbox: SandboxProcess,
    open_site: OpenSite,
    sign_up_many: SignUpMany,
    ledger: Ledger,
    eventually: Eventually,
    sends: Count,
    taken: Count,
    size: Size,
    say: Say,
) -> None:
    """It refuses for a while and returns: a handful of requests, then 50 of 50, once each."""
    sandbox.fault(**fault)
    began, outage = time.monotonic(), size(3.0, 15.0)
    slowest = sign_up_many(open_site(), 50)
    eventually(lambda: time.monotonic() - began > outage)
    refused = sends().total()
    sandbox.clear_faults()
    returned = time.monotonic()
    eventually(lambda: count(ledger, Status.DELIVERED) == 50)

    drained = time.monotonic() - returned
    say(
        f"{name} for {outage:.0f} s: {len(taken())} of 50 delivered, {refused} requests refused, "
        f"drained {drained:.1f} s after its return"
    )
    assert taken() == FIFTY
    assert refused < 30
    assert sends().total() < 50 + 30
    assert slowest < 1.0
    assert not is_paused(ledger)


def test_fifty_signups_while_it_is_down_and_a_restart(
    sandbox: SandboxProcess,
    open_site: OpenSite,
    visit: Visit,
    sign_up_many: SignUpMany,
    ledger: Ledger,
    eventually: Eventually,
    in_work: InWork,
    sends: Count,
    say: Say,
) -> None:
    """It is down, the site is killed and restarted, it is well: one page view delivers them all."""
    sandbox.stop()
    site = open_site()
    sign_up_many(site, 50)
    eventually(lambda: is_paused(ledger) and in_work() == 0)
    site.kill()
    tries = attempts(ledger)
    sandbox.restart()
    visit(open_site(), "")
    returned = time.monotonic()
    eventually(lambda: count(ledger, Status.DELIVERED) == 50)

    say(
        f"down, and a restart: {len(sends())} of 50 delivered, {tries} tries while it was down, "
        f"drained {time.monotonic() - returned:.1f} s after the page view"
    )
    assert sends() == FIFTY
    assert tries < 30


def test_401_until_the_token_is_put_right(
    sandbox: SandboxProcess,
    open_site: OpenSite,
    visit: Visit,
    sign_up_many: SignUpMany,
    ledger: Ledger,
    eventually: Eventually,
    in_work: InWork,
    sends: Count,
    taken: Count,
    say: Say,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A wrong token pauses all, loudly; a deploy with the right one delivers all 50, once."""
    site = open_site(PARTNERSTACK_TOKEN="last-years-token")
    sign_up_many(site, 50)
    eventually(lambda: is_paused(ledger) and in_work() == 0)
    site.kill()
    refused = sends().total()
    visit(open_site(), "")
    returned = time.monotonic()
    eventually(lambda: count(ledger, Status.DELIVERED) == 50)

    say(
        f"401 until the token is right: {len(taken())} of 50 delivered, {refused} refused, "
        f"drained {time.monotonic() - returned:.1f} s after the deploy"
    )
    assert taken() == FIFTY
    assert refused < 30
    assert sends().total() == 50 + refused
    assert "not the pk_/sk_ pair" in capfd.readouterr().err


# --- it takes them and says nothing -------------------------------------------------------------


@pytest.mark.usefixtures("known_pair")
def test_lost_answers_with_keys(
    sandbox: SandboxProcess,
    keys: dict[str, str],
    open_site: OpenSite,
    sign_up_many: SignUpMany,
    eventually: Eventually,
    is_idle: AtRest,
    restart_at: RestartAt,
    ledger: Ledger,
    sends: Count,
    say: Say,
) -> None:
    """Accepted and hung up on, until it pauses: looked up, found, and none on the wire twice."""
    sandbox.fault(drop="after")
    site = open_site(SITE_HOURS_AHEAD="1", **keys)
    sign_up_many(site, 50)
    eventually(partial(is_idle, 1))
    site.kill()
    sandbox.clear_faults()
    lost = sends().total() - 1
    for hours in (2, 3):
        restart_at(hours, **keys)

    say(f"{lost} answers lost, with keys: {sends().total() - 51} of 50 twice on the wire")
    assert sends() == {"the-first": 1, **FIFTY}
    assert count(ledger, Status.VERIFIED) == 51


@pytest.mark.usefixtures("known_pair")
def test_lost_conversions_with_keys(
    sandbox: SandboxProcess,
    keys: dict[str, str],
    open_site: OpenSite,
    sign_up_many: SignUpMany,
    eventually: Eventually,
    is_idle: AtRest,
    restart_at: RestartAt,
    deliver_at: DeliverAt,
    ledger: Ledger,
    taken: Count,
    say: Say,
) -> None:
    """Hung up on before they were taken, until it pauses: missing, they are sent again."""
    sandbox.fault(drop="before")
    site = open_site(SITE_HOURS_AHEAD="1", **keys)
    sign_up_many(site, 50)
    eventually(partial(is_idle, 1))
    site.kill()
    sandbox.clear_faults()
    restart_at(2, **keys)
    for hours in (3, 26, 27):
        deliver_at(hours, **keys)

    say(f"conversions lost on the way, with keys: {len(taken()) - 1} of 50 delivered")
    assert taken() == {"the-first": 1, **FIFTY}
    assert count(ledger, Status.VERIFIED) == 51


def test_lost_answers_without_keys(
    sandbox: SandboxProcess,
    open_site: OpenSite,
    sign_up_many: SignUpMany,
    eventually: Eventually,
    is_idle: AtRest,
    deliver_at: DeliverAt,
    ledger: Ledger,
    sends: Count,
    say: Say,
) -> None:
    """Accepted and hung up on for four days: a few sends in vain, nobody dead, all 50 then."""
    sandbox.fault(drop="after")
    site = open_site()
    sign_up_many(site, 50)
    eventually(partial(is_idle, 0))
    site.kill()
    for hours in (1, 3, 6, 12, 100):
        deliver_at(hours)
    in_vain, dead = sends().total(), count(ledger, Status.DEAD)
    sandbox.clear_faults()
    for hours in (101, 130):
        deliver_at(hours)

    say(f"every answer lost for days, without keys: {in_vain} sends in vain, {dead} dead")
    assert in_vain < 20
    assert dead == 0
    assert count(ledger, Status.DELIVERED) == 50
    assert sends().total() == 50 + in_vain


# --- it answers strangely -----------------------------------------------------------------------


@pytest.fixture(scope="session")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's TLS with a certificate that nobody vouches for."""
    folder = tmp_path_factory.mktemp("tls")
    paths = folder / "certificate.pem", folder / "key.pem"
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext"
    subprocess.run(
        [*make.split(), "subjectAltName=IP:127.0.0.1", "-out", paths[0], "-keyout", paths[1]],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*paths)
    return context


@pytest.fixture
def listen() -> Iterator[Callable[..., Peer]]:
    """Return what starts peers, which talk as they are told."""
    peers: list[Peer] = []

    def listen(talk: Talk, context: ssl.SSLContext | None = None) -> Peer:
        peers.append(Peer(talk, context))
        return peers[-1]

    yield listen
    for peer in peers:
        peer.stop()


@pytest.fixture
def endure(
    open_site: OpenSite,
    sign_up_many: SignUpMany,
    ledger: Ledger,
    eventually: Eventually,
    say: Say,
) -> Callable[..., None]:
    """Return what signs eight customers up while something is wrong, and says how it went.

    No signup may be slowed, and the memory of the site's process must stay bounded.
    """

    def endure(what: str, state: Callable[[], bool], **config: str) -> None:
        site = open_site(PARTNERSTACK_CONCURRENCY="8", **config)
        usual = site.resident
        slowest = sign_up_many(site, 8)
        eventually(state)
        grown = (site.resident - usual) / 2**20
        judged = {a.judged.value for e in ledger.entries() for a in ledger.trail(e)}
        say(
            f"{what}: slowest signup {1000 * slowest:.0f} ms, {grown:.0f} MB more, "
            f"judged {' and '.join(sorted(judged)) or 'not yet'}"
        )
        assert slowest < 1.0
        assert grown < 64

    return endure


def judged(ledger: Ledger, judgement: Judgement) -> bool:
    """Say whether all eight entries were judged so, and once."""
    trails = [ledger.trail(entry) for entry in ledger.entries()]
    return len(trails) == 8 and all([a.judged for a in t] == [judgement] for t in trails)


@pytest.mark.parametrize(
    ("what", "fault", "judgement", "timeout"),
    [
        ("hangs", {"hang": True}, Judgement.UNCLEAR, "1,1"),
        ("a body of 50 MB", {"huge": 50 * 2**20}, Judgement.ACCEPTED, "5,30"),
        ("a gzip bomb of 100 MB", {"gzip_bomb": 100 * 2**20}, Judgement.ACCEPTED, "5,30"),
    ],
)
def test_strange_answers(
    what: str,
    fault: dict[str, Any],
    judgement: Judgement,
    timeout: str,
    sandbox: SandboxProcess,
    endure: Callable[..., None],
    ledger: Ledger,
    sends: Count,
) -> None:
    """No signup is slowed, memory is bounded, the state is right, and each was sent once."""
    sandbox.fault(**fault)
    endure(what, partial(judged, ledger, judgement), PARTNERSTACK_TIMEOUT=timeout)
    assert sends() == {f"customer-{number}": 1 for number in range(8)}


def test_a_byte_a_second(
    sandbox: SandboxProcess,
    endure: Callable[..., None],
    ledger: Ledger,
    sends: Count,
    size: Callable[[Waited, Waited], Waited],
) -> None:
    """An answer that drips is cut off after 30 s in all (waited for at full size).

    Its status line had come by then, and it is judged by that.
    """
    sandbox.fault(drip=0.9)
    cut_off = partial(judged, ledger, Judgement.ACCEPTED)
    endure("a byte a second", size(lambda: sends().total() == 8, cut_off))
    assert sends() == {f"customer-{number}": 1 for number in range(8)}


def test_no_http(listen: Callable[..., Peer], endure: Callable[..., None], ledger: Ledger) -> None:
    """Whatever cannot be read as an answer is unclear; each was sent once."""
    peer = listen(answering(b"\x00\x16 hello\r\n\r\n"))
    endure(
        "no HTTP",
        partial(judged, ledger, Judgement.UNCLEAR),
        PARTNERSTACK_CONVERSION_URL=f"{peer.url}/conversion/xid",
    )
    assert len(peer.requests) == 8


def test_invalid_headers(
    listen: Callable[..., Peer], endure: Callable[..., None], ledger: Ledger
) -> None:
    """Headers that cannot be read take nothing back of the status; each was sent once."""
    endless = b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"
    countless = b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 1000 + b"\r\n"
    peer = listen(answering(*[endless, countless] * 4))
    endure(
        "invalid headers",
        partial(judged, ledger, Judgement.ACCEPTED),
        PARTNERSTACK_CONVERSION_URL=f"{peer.url}/conversion/xid",
    )
    assert len(peer.requests) == 8


@pytest.mark.parametrize("status", [302, 308])
def test_a_redirect_to_another_host(
    status: int,
    sandbox: SandboxProcess,
    listen: Callable[..., Peer],
    endure: Callable[..., None],
    ledger: Ledger,
    sends: Count,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """It is not followed: the token stays with its host, and all is paused, loudly."""
    stranger = listen(answering(OK))
    sandbox.fault(status=status, redirect=f"{stranger.url}/conversion/xid")
    endure(f"a redirect, {status}", lambda: is_paused(ledger))
    assert stranger.connections == 0
    assert "a redirect, which is not followed" in capfd.readouterr().err
    assert count(ledger, Status.PENDING) == 8
    assert sends().total() < 30


def test_a_certificate_that_nobody_vouches_for(
    listen: Callable[..., Peer],
    self_signed: ssl.SSLContext,
    endure: Callable[..., None],
    ledger: Ledger,
) -> None:
    """Nothing is sent to a server that cannot prove who it is, and all waits for a better one."""
    stranger = listen(answering(OK), self_signed)
    endure(
        "a self-signed certificate",
        lambda: is_paused(ledger),
        PARTNERSTACK_CONVERSION_URL=f"{stranger.url}/conversion/xid",
    )
    assert stranger.requests == []
    assert count(ledger, Status.PENDING) == 8
