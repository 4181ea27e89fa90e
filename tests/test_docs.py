"""What the documents say is so."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner

from flask_partnerstack import Conversion
from flask_partnerstack import conversion
from flask_partnerstack.cli import partnerstack
from flask_partnerstack.cli.setting_up import _say_where
from flask_partnerstack.referral import read_query
from flask_partnerstack.settings import Settings
from flask_partnerstack.wire import Response
from flask_partnerstack.wire.protocol import conversion_request

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SOURCE_PAGE = (ROOT / "docs/source-page.md").read_text(encoding="utf-8")

NUMBERS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight")
LIMIT = re.compile("LONGEST_|MOST_|LARGEST_|DEEPEST_")
#: The request on PartnerStack's page, with an xid of the kind that real links carry.
EXAMPLE = {
    "customer_key": "fe955429-0fe2-42c2-8eb5-a7d6495d4a7e",
    "xid": "Kvx64pph9uhCju",
    "email": "example@email.com",
    "name": "Example Customer Name",
    "origin": "acme.com",
    "ip_address": "198.51.100.42",
    "user_agent": "Mozilla/5.0 (platform; rv:geckoversion) Gecko/geckotrail Firefox/firefoxversion",
    "external_type": "xyz",
    "sub_ids": ["chskadycgbchb", "sdjvkhckjsckd"],
}


def table_of(name: str) -> list[dict[str, str]]:
    """Return the rows of a table that the benchmarks wrote, by the names of its columns."""
    page = (ROOT / "docs/compare.md").read_text(encoding="utf-8")
    written = page.partition(f"<!-- {name} -->")[2].partition(f"<!-- /{name} -->")[0]
    lines = [line for line in written.splitlines() if line.startswith("|")]
    headings, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    return [dict(zip(headings, row, strict=True)) for row in rows]


def functions_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`(tests/\S+?::\w+)`", SOURCE_PAGE))))
def test_tests_named_on_the_source_page_exist(named: str) -> None:
    """Each test that is to show a statement is there."""
    path, _, function = named.partition("::")
    assert function in functions_in(ROOT / path)


def test_statements_have_a_test() -> None:
    """No row of the source page's tables is without one."""
    rows = [line for line in SOURCE_PAGE.splitlines() if line.startswith("| ")]
    statements = [row for row in rows if not row.startswith("| the page says")]
    assert len(statements) > 20
    assert all("::" in row for row in statements)


def test_request_is_the_one_of_the_page() -> None:
    """Method, address, credential and body are those of the page's example."""
    said = Conversion.of(**EXAMPLE)
    request = conversion_request(Settings().conversion_url, "TOKEN", said)
    assert (request.method, request.url) == ("POST", "https://partnerlinks.io/conversion/xid")
    assert request.headers["Authorization"] == "Bearer TOKEN"
    assert request.headers["Content-Type"] == "application/json"
    assert json.loads(request.body) == EXAMPLE


def test_empty_fields_are_not_sent() -> None:
    """What is not known is not said: an empty text looks like a value that matches nothing."""
    said = Conversion.of(customer_key="42", xid="Kvx64pph9uhCju", email="", sub_ids=[], meta={})
    request = conversion_request(Settings().conversion_url, "TOKEN", said)
    assert json.loads(request.body) == {"customer_key": "42", "xid": "Kvx64pph9uhCju"}


def test_the_limits_of_fields_are_told() -> None:
    """docs/tracking.md has the number of each."""
    page = (ROOT / "docs/tracking.md").read_text(encoding="utf-8")
    told = {
        int(number) for number in re.findall(r"\d+", page.partition("PartnerStack publishes")[2])
    }
    limits = {value for name, value in vars(conversion).items() if LIMIT.match(name)}
    assert len(limits) > 5
    assert limits <= told


def test_how_much_of_an_answer_is_kept_is_told() -> None:
    """docs/privacy.md has the number of characters that the trail gets of it."""
    page = (ROOT / "docs/privacy.md").read_text(encoding="utf-8")
    told = re.search(r"answered to each attempt, ([\d,]+) characters at\s+most", page)
    assert told
    kept = Response(400, body=b"x" * 9999).text
    assert int(told[1].replace(",", "")) == len(kept)


def test_lines_of_the_log_are_quoted_as_they_are() -> None:
    """What docs/ledger.md has of a line stands in one, so that it is found by who copies it."""
    page = (ROOT / "docs/ledger.md").read_text(encoding="utf-8")
    quoted = re.findall("“(.+?)”", page.partition("| in the log |")[2].partition("\n\n")[0])
    said = [
        node.value
        for path in (ROOT / "flask_partnerstack").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert len(quoted) > 10
    assert [words for words in quoted if not any(words in line for line in said)] == []


def test_px_xid_is_no_name_of_the_click() -> None:
    """The page's px_xid is a slip of the pen, and read nowhere."""
    settings = Settings()
    referral = read_query("px_xid=Kvx64pph9uhCju", settings.xid_params, settings.partner_key_params)
    assert not referral


def test_keys_of_the_readme_exist() -> None:
    """Every configuration key in the README's table is one."""
    table = README.partition("| `PARTNERSTACK_…`")[2].partition("\n\n")[0]
    keys = re.findall(r"^\| `([A-Z_]+)`", table, re.MULTILINE)
    assert keys
    assert {key.lower() for key in keys} <= {field.name for field in fields(Settings)}


def test_commands_of_the_readme_exist() -> None:
    """Every command that the README names is one, and none is missing."""
    paragraph = README.partition("\n`flask partnerstack` has ")[2].partition("\n\n")[0]
    assert set(re.findall(r"`([a-z-]+)`", paragraph)) == set(partnerstack.commands)


# --- the quickstart, walked -----------------------------------------------------------------------

QUICKSTART = (ROOT / "docs/quickstart.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^`(\S+\.py)`\n\n```python\n(.*?)^```", QUICKSTART, re.M | re.S))


def walk(folder: Path, files: dict[str, str]) -> str:
    """Write the quickstart's files, run what it runs, and return what that prints."""
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", folder, folder],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "COV_"))},
    )
    return ran.stdout


def test_the_quickstart_leads_to_passing_tests(tmp_path: Path) -> None:
    """Whoever copies its three files and runs pytest sees what it says."""
    assert list(FILES) == ["app.py", "conftest.py", "test_signup.py"]
    said = re.search(r"^\d passed$", QUICKSTART, re.M)
    assert said
    printed = walk(tmp_path, FILES)
    assert said[0] in printed, printed


def test_the_quickstart_greets_nobody_by_a_name_that_did_not_come(tmp_path: Path) -> None:
    """A click without a partner key is a plain welcome."""
    test = """
def test_plain(partnerstack_client):
    assert partnerstack_client.get("/?ps_xid=abcdefgh1235").text == "Welcome!"
"""
    printed = walk(tmp_path, {**FILES, "test_signup.py": test})
    assert "1 passed" in printed, printed


def test_the_quickstart_fails_as_it_says(tmp_path: Path) -> None:
    """Without the decorator the assertion says what the page shows."""
    app = FILES["app.py"].replace("@partnerstack.track_signup\n", "")
    printed = walk(tmp_path, {**FILES, "app.py": app})
    shown = QUICKSTART.partition("AssertionError: ")[2].partition("```")[0].strip().splitlines()
    assert len(shown) == 4
    for line in shown:
        assert line in printed, printed


def test_the_quickstarts_app_takes_what_the_sandbox_prints(tmp_path: Path) -> None:
    """The settings of step 5 are those that the command prints, and the app goes by them."""
    settings = dict(re.findall(r"^    export (PARTNERSTACK_\w+)=(\S+)$", QUICKSTART, re.M))
    with CliRunner().isolation() as (printed, *_):
        _say_where("http://127.0.0.1:8787")
        said = re.findall(r"(PARTNERSTACK_\w+)=(\S+)", printed.getvalue().decode())
    assert dict(said) == settings
    (tmp_path / "app.py").write_text(FILES["app.py"], encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-m", "flask", "partnerstack", "check"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **settings},
    )
    assert f"conversions go to {settings['PARTNERSTACK_CONVERSION_URL']}." in ran.stdout


def test_every_fixture_of_the_kit_is_documented() -> None:
    """The table in docs/testing.md has each fixture of the plugin, and no other."""
    source = (ROOT / "pytest_flask_partnerstack.py").read_text(encoding="utf-8")
    table = (ROOT / "docs/testing.md").read_text(encoding="utf-8")
    wanted = set(re.findall(r"^def (partnerstack_\w+)", source, re.M))
    assert set(re.findall(r"^\| `(partnerstack_\w+)`", table, re.M)) == wanted


def test_the_readme_says_of_the_sdks_what_the_table_says() -> None:
    """Who loses everything, who lost nothing to a kill, and who of these makes a signup wait."""
    named = re.search(r"eight event SDKs \((.+?)\)", README, re.DOTALL)
    assert named is not None
    names = re.split(r",\s+", named[1])
    sdks = [row for row in table_of("survival") if row["handed to"].lower() in names]
    unhurt = [row for row in sdks if row["kill -9, restarted"] == "50"]
    slow = [row for row in unhurt if not row["signup, API hangs"].endswith(" ms")]
    said = " ".join(README.split())
    assert len(sdks) == len(names)
    assert {row["503, then restarted"] for row in sdks} == {"0"}
    assert f"{NUMBERS[len(unhurt)].capitalize()} lost nothing to a kill" in said
    assert f"and {NUMBERS[len(slow)]} of these make a signup wait" in said
