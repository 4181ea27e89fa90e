"""Everything that has a name has its place in the documents, and every link leads somewhere."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest
from blinker import NamedSignal
from flask import Flask

import flask_partnerstack
from docs import generate
from docs import names
from docs import said
from flask_partnerstack import signals
from flask_partnerstack import testing
from flask_partnerstack.cli import partnerstack
from flask_partnerstack.errors import ConfigurationError
from flask_partnerstack.metrics import PartnerStackCollector
from flask_partnerstack.settings import PREFIX
from flask_partnerstack.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *DOCS.glob("recipes/*.md")])
HEADING = re.compile(r"^(#{1,3}) (.+)$", re.MULTILINE)
TROUBLES = (DOCS / "troubles.md").read_text(encoding="utf-8")


def page(name: str) -> str:
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def listed(kind: str, name: str) -> list[str]:
    """Return what the blocks of a kind on a page are made of."""
    blocks = [block for block in generate.BLOCK.finditer(page(name)) if block[1] == kind]
    return [wanted for block in blocks for wanted in block[2].split()]


def first_column(name: str) -> set[str]:
    """Return the names in the first cells of a page's tables."""
    cells = re.findall(r"^\| (`[^|]*`) ", page(name), re.MULTILINE)
    return {found for cell in cells for found in re.findall(r"`(\w+)[`{]", cell)}


# --- what is made of the code -------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_a_page_says_what_the_code_says(path: Path) -> None:
    """What is made of the code stands in the file as it would be made now."""
    text = path.read_text(encoding="utf-8")
    assert text == generate.written(text), "Run: .venv/bin/python -m docs.generate"


def test_what_differs_is_made_again() -> None:
    """Between its markers a page is the code's, and around them the author's."""
    before = "Mine.\n\n<!-- made of commands: list -->\nold\n<!-- up to here -->\n\nMine, too.\n"
    after = generate.written(before)
    assert after.startswith("Mine.\n\n<!-- made of commands: list -->\n\n### `list`\n")
    assert after.endswith("\n\n<!-- up to here -->\n\nMine, too.\n")
    assert "--since WHEN" in after
    assert "old" not in after
    assert generate.written(after) == after


@pytest.mark.parametrize("kind", ["settings: NOTHING", "commands: nothing", "nothing"])
def test_what_there_is_not_is_named(kind: str) -> None:
    """A name that the package does not have, or no longer, is an error and not an empty place."""
    with pytest.raises(LookupError, match=r"(?i)nothing"):
        generate.written(f"<!-- made of {kind} -->\n<!-- up to here -->")


def test_a_name_has_the_first_sentence_of_its_docstring() -> None:
    """With its members, as the directive below it has them, and in Markdown."""
    told = names.told(".. autoclass:: flask_partnerstack.Referral\n   :members: dumps, loads\n")
    assert "| `Referral` | This visitor came by a partner's link, or, when empty and" in told
    assert "| `Referral.loads()` | Read what `dumps` wrote. |" in told
    assert "expired" not in told


# --- names --------------------------------------------------------------------------------------


def test_every_key_has_its_place() -> None:
    """Each key of the configuration is in one block of docs/configuration.md, and no other is."""
    wanted = sorted(field.name.upper() for field in fields(Settings))
    assert sorted(listed("settings", "configuration")) == wanted


@pytest.mark.parametrize("name", sorted(said.SETTINGS))
def test_a_key_is_told_whole(name: str) -> None:
    """What is made of a key has its name, type, default, meaning, and what it refuses."""
    told = said.setting(name)
    assert f"`{PREFIX}{name}`" in told
    assert said.SETTINGS[name].metadata["meaning"] in told
    assert re.search(r"^- Type: `.+`$", told, re.MULTILINE)
    assert re.search(r"^- Default: .+", told, re.MULTILINE)
    assert said.refusals_of(name)
    assert all(f"“{refusal}”" in told for refusal in said.refusals_of(name))


def test_what_is_said_to_be_refused_is() -> None:
    """The page quotes the error, without the value that the page tried."""
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_mapping({"PARTNERSTACK_LEASE": 1})
    assert any(caught.value.expected.startswith(told) for told in said.refusals_of("LEASE"))
    assert "got" not in said.setting("LEASE")


def test_every_command_has_its_place() -> None:
    """Each command is in one block of docs/cli.md, and no other is."""
    assert sorted(listed("commands", "cli")) == sorted(partnerstack.commands)


@pytest.mark.parametrize("name", sorted(said.COMMANDS))
def test_a_command_is_told_with_each_option(name: str) -> None:
    """What is made of a command has its usage, its help and all of its options."""
    told, command = said.command(name), partnerstack.commands[name]
    assert f"flask partnerstack {name}" in told
    assert inspect.cleandoc(command.help or "").split("\n")[0] in told
    for parameter in command.params:
        wanted = parameter.opts if parameter.param_type_name == "option" else [parameter.name or ""]
        assert all(option in told or option.upper() in told for option in wanted)


@pytest.mark.parametrize(
    "path", [ROOT / "README.md", *PAGES], ids=lambda path: str(path.relative_to(ROOT))
)
def test_commands_are_called_as_they_are(path: Path) -> None:
    """Each command line on a page names a command and options of it."""
    text = path.read_text(encoding="utf-8")
    for name, rest in re.findall(r"flask\s+partnerstack\s+([a-z-]+)([^`\n#]*)", text):
        known = {option for param in partnerstack.commands[name].params for option in param.opts}
        assert set(re.findall(r"--[a-z-]+", rest)) <= known, name


def test_every_signal_has_its_place() -> None:
    """The table of docs/signals.md has each signal, and no other, with its arguments."""
    known = {name: s for name, s in vars(signals).items() if isinstance(s, NamedSignal)}
    assert first_column("signals") == known.keys()
    source = inspect.getsource(signals)
    for name in known:
        comment = source.partition(f"\n{name}:")[0].rpartition("\n\n")[2].rpartition("_signals.")[2]
        row = re.search(rf"^\| `{name}` .*\| (.*) \|$", page("signals"), re.MULTILINE)
        assert row
        wanted = re.findall(r"``(\w+)=``", comment)
        assert re.findall(r"`(\w+)`", row[1]) == wanted, name


def test_every_metric_has_its_place(app: Flask) -> None:
    """The table of docs/metrics.md has each metric that is registered, and no other."""
    described = {metric.name for metric in PartnerStackCollector(app).describe()}
    here = {"partnerstack_captures", "partnerstack_ledger_up"}
    told = {name.removesuffix("_total") for name in first_column("metrics")}
    assert told == described | here


def test_every_error_has_its_place() -> None:
    """docs/errors.md says of each class when it is met and what it carries, and draws the tree."""
    wanted = said.ERRORS.keys()
    tables = first_column("errors") | set(re.findall(r"`(\w+)`", page("errors")))
    assert wanted <= tables
    assert set(re.findall(r"^\.\. autoexception:: (\w+)$", page("errors"), re.MULTILINE)) == wanted
    assert set(re.findall(r"(\w+) {2,}\w", said.error_tree())) | {"PartnerStackError"} == wanted


def test_every_public_name_has_its_place() -> None:
    """docs/api.md has each name of the package and of the test kit, for the site and in a table."""
    modules = {"errors", "signals"}
    for name in {*flask_partnerstack.__all__} - modules:
        assert re.search(rf"^\.\. (auto|py:)\w+:: {name}\b", page("api"), re.MULTILINE), name
        assert re.search(rf"^\| `{name}(\(\))?` \| .", page("api"), re.MULTILINE), name
    for name in testing.__all__:
        assert re.search(rf"flask_partnerstack\.testing\.{name}\b", page("api")), name
        assert re.search(rf"^\| `testing\.{name}(\(\))?` \| .", page("api"), re.MULTILINE), name


@pytest.mark.parametrize("name", ["SandboxProcess", "SandboxSettings", "Fault", "SandboxError"])
def test_what_the_kit_speaks_of_has_its_place(name: str) -> None:
    """docs/api.md has what a test-suite knows of the sandbox, too."""
    assert re.search(rf"^\.\. auto\w+:: flask_partnerstack\.sandbox\.{name}$", page("api"), re.M)


def test_every_page_is_in_the_story_once() -> None:
    """Each page is once in a toctree, and the front page tells of each in the same order."""
    index, recipes = page("index"), page("recipes")
    told = re.findall(r"^- \[.*?\]\((\w[\w/-]*)\.md\)", index, re.MULTILINE)
    blocks = re.findall(r"^```{toctree}\n(.*?)^```$", index, re.MULTILINE | re.DOTALL)
    story = [line for block in blocks for line in block.splitlines() if re.match(r"\w", line)]
    assert told == story
    under = re.findall(r"^(recipes/\w+)$", recipes, re.MULTILINE)
    everything = {str(path.relative_to(DOCS).with_suffix("")) for path in PAGES} - {"index"}
    assert sorted([*story, *under]) == sorted(everything)
    assert all(f"]({name}.md)" in recipes for name in under)


def test_the_readme_leads_to_every_page() -> None:
    """Whoever begins there finds each page; the changes are linked as the file that they are."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pages = {path.relative_to(ROOT).as_posix() for path in PAGES} - {"docs/changes.md"}
    assert pages - set(re.findall(r"\]\((docs/[\w/-]+\.md)\)", readme)) == set()


# --- troubles -----------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", TROUBLES.split("\n### ")[1:], ids=lambda text: text[:40])
def test_a_trouble_is_answered(trouble: str) -> None:
    """Under each name stand its price, what becomes of it here, and a test that is there."""
    assert "\n- What it costs: " in trouble
    assert "\n- Here: " in trouble
    shown = re.search(r"\n- Shown by `(tests/\S+?)::(\w+)`", trouble)
    assert shown
    tree = ast.parse((ROOT / shown[1]).read_text(encoding="utf-8"))
    functions = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
    assert shown[2] in functions


# --- links --------------------------------------------------------------------------------------


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page, as a forge makes them of headings, and its own."""
    text = path.read_text(encoding="utf-8")
    slugs = {_slug(heading) for _, heading in HEADING.findall(text)}
    return slugs | set(re.findall(r"^\(([\w-]+)\)=$", text, re.MULTILINE))


def _slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize(
    "path", [*ROOT.glob("*.md"), *PAGES], ids=lambda path: str(path.relative_to(ROOT))
)
def test_links_lead_to_a_heading(path: Path) -> None:
    """Each link of a page finds its file, and in it the heading that it names."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", text):
        found = (path.parent / target) if target else path
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(found), f"{target}#{anchor}"
