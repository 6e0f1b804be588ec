"""The documentation is true: its Python runs and prints what it says, its commands run, its tables are the code's."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
import typer
from torch.distributed.run import get_args_parser

import foveal
from foveal import errors
from foveal.cli import app
from foveal.ops import OPS
from foveal.shapes import text
from small_photos import pieces, save, write_folder

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TRAINING, GRAPHS, ANATOMY = (ROOT / "docs" / f"{name}.md" for name in ("training", "graphs", "anatomy"))
SHELL = ("sh", "indented")
NAMES = [page.name for page in PAGES]
COMMANDS: Any = typer.main.get_command(app)


def blocks(page: Path) -> list[tuple[str, str]]:
    """(language, content) of every fenced block, and ("indented", content) of every indented one, in order."""
    found: list[tuple[str, list[str]]] = []
    fence: str | None = None
    before = ""
    for line in page.read_text("utf-8").splitlines():
        if fence is not None:
            if line.strip() == "```":
                fence = None
            else:
                found[-1][1].append(line)
        elif line.startswith("```"):
            fence = line.strip("`").strip()
            found.append((fence, []))
        elif line.startswith("    ") and (not before.strip() or before.startswith("    ")):
            if not before.startswith("    "):
                found.append(("indented", []))
            found[-1][1].append(line[4:])
        before = line
    return [(language, "\n".join(lines)) for language, lines in found]


def commands(content: str) -> Iterator[tuple[list[str], bool]]:
    """Each foveal command of a block: its words, and whether it stands alone (no pipe, no placeholder)."""
    for line in content.splitlines():
        for part in line.split("|"):
            words = shlex.split(part, comments=True)
            if words and words[0] == "foveal":
                whole = len(line.split("|")) == 1 and not any(word.endswith("...") for word in words)
                yield words[1:], whole


def tables(page: Path, heading: str) -> list[list[str]]:
    """Rows (cells) of the first table under `heading`, without its head."""
    _, found, rest = page.read_text("utf-8").partition(f"\n{heading}\n")
    assert found, f"{page.name} has no heading {heading!r}"
    rows: list[list[str]] = []
    for line in rest.splitlines():
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif rows or line.startswith("#"):
            break
    assert len(rows) > 2, f"{page.name}: no table under {heading!r}"
    return rows[2:]


def codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with everything that the pages speak of."""
    write_folder(tmp_path / "photos")
    write_folder(tmp_path / "labelled-photos", each=4, seed=1)
    for number, piece in enumerate(pieces("cat", 2, seed=2), start=1):
        save(piece, tmp_path / "new" / f"{number}.jpg")
        save(piece, tmp_path / "new-photos" / f"{number}.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_a_page_does_what_it_says(page: Path, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Python blocks and commands run in order; a text block right after one is what that printed."""
    names: dict[str, Any] = {"__name__": "page"}
    printed: str | None = None
    for language, content in blocks(page):
        if language == "python":
            capsys.readouterr()
            exec(compile(content, page.name, "exec", dont_inherit=True), names)
            printed = capsys.readouterr().out
            continue
        if language == "text" and printed is not None:
            assert_alike(printed.rstrip("\n"), content, exactly=page.parent.name != "course")
        printed = None
        if language in SHELL:
            capsys.readouterr()
            for words, whole in commands(content):
                if whole and words[0] != "demo":  # which has tests of its own
                    assert not app(words, standalone_mode=False), words
            if language == "sh":
                printed = capsys.readouterr().out


def assert_alike(printed: str, content: str, *, exactly: bool) -> None:
    """The same text; numbers that a network computed from a photo differ a little from processor to processor."""
    if exactly:
        assert printed == content
        return
    number = r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w])"
    assert re.sub(number, "#", printed).split() == re.sub(number, "#", content).split()
    pairs = zip(re.findall(number, printed), re.findall(number, content), strict=True)
    assert all(math.isclose(float(a), float(b), rel_tol=2e-3, abs_tol=2e-5) for a, b in pairs)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_and_option_exists(page: Path) -> None:
    for language, content in blocks(page):
        if language in SHELL:
            for words, _ in commands(content):
                COMMANDS.commands[words[0]].make_context(words[0], words[1:])
            for target in re.findall(r"^make (\w+)", content, re.MULTILINE):
                assert f"\n{target}:" in (ROOT / "Makefile").read_text("utf-8"), target
    known = {option for command in COMMANDS.commands.values() for p in command.params for option in options(p)}
    known |= {option for p in COMMANDS.params for option in options(p)} | {"--help"}
    known |= {option for action in get_args_parser()._actions for option in action.option_strings}  # torchrun's
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", page.read_text("utf-8")))
    assert named <= known, sorted(named - known)


def test_commands_of_the_pages_are_really_found() -> None:
    """So that the two tests above cannot pass by finding nothing."""
    for page in (PAGES[0], TRAINING):
        shells = [content for language, content in blocks(page) if language in SHELL]
        run = [words[0] for content in shells for words, _ in commands(content)]
        assert {"train", "predict", "evaluate", "check"} <= set(run), page.name
    assert all(any(language == "python" for language, _ in blocks(page)) for page in PAGES)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if not target.startswith("https://"):
            file, _, anchor = target.partition("#")
            other = page.parent / file if file else page
            assert other.exists(), target
            if anchor:
                headings = re.findall(r"^#+ (.+)$", other.read_text("utf-8"), re.MULTILINE)
                assert anchor in {re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in headings}, target


def options(parameter: Any) -> list[str]:
    return [word for word in (*parameter.opts, *parameter.secondary_opts) if word.startswith("-")]


@pytest.mark.parametrize("name", sorted(COMMANDS.commands))
def test_option_tables_are_the_commands(name: str) -> None:
    """Every argument and option with its default, in the order of ``--help``."""
    page = next(page for page in PAGES if f"\n### foveal {name}\n" in page.read_text("utf-8"))
    listed = [(codes(row[0]), codes(row[1])) for row in tables(page, f"### foveal {name}")]
    real = []
    for parameter in COMMANDS.commands[name].params:
        default = [] if parameter.default is None or isinstance(parameter.default, bool) else [str(parameter.default)]
        real.append((options(parameter) or [parameter.name.upper()], default))
    assert listed == real


def test_exit_codes_are_those_of_the_errors() -> None:
    listed = {name: int(codes(row[0])[0]) for row in tables(TRAINING, "### Exit codes") for name in codes(row[1])}
    kinds = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.FovealError)]
    assert listed == {kind.__name__: kind.exit_code for kind in kinds}


def test_findings_are_those_of_the_preflight() -> None:
    source = (ROOT / "src" / "foveal" / "data" / "preflight.py").read_text("utf-8")
    real = re.findall(r'Finding\(\s*"(\w+)",', source) + re.findall(r'\("(\w+)", "(?:exact|near) copies', source)
    assert len(set(real)) > 10
    assert {codes(row[0])[0] for row in tables(TRAINING, "## Pre-flight")} == set(real)


def test_python_names_are_the_packages() -> None:
    named = {code.partition("(")[0] for row in tables(TRAINING, "## Python") for code in codes(row[0])}
    assert {f"foveal.{name}" for name in foveal.__all__} <= named


_NAMED = ("data.counts", "seconds", "head.seconds", "versions")  # objects whose keys are names


def keys(data: Any, prefix: str = "") -> set[str]:
    """Dotted paths of JSON data to whatever is no object; ``[]`` after a list of objects, ``*`` for names."""
    found: set[str] = set()
    for key, value in data.items():
        path = f"{prefix}{'*' if prefix.rstrip('.') in _NAMED else key}"
        if isinstance(value, dict) and value:
            found |= keys(value, f"{path}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            found = found.union(*(keys(one, f"{path}[].") for one in value))
        else:
            found.add(path)
    return found


def listed_keys(heading: str) -> set[str]:
    """First cells such as `a.b`, `.c`; the second is a sibling of the first, `a.c`."""
    found: set[str] = set()
    for row in tables(TRAINING, heading):
        last = ""
        for code in codes(row[0]):
            last = last.rpartition(".")[0] + code if code.startswith(".") else code
            found.add(last)
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, foveal_cache: Path) -> Path:
    """A run whose result has a row of every kind: a duplicate, strayed photos, an unreadable file, mistakes."""
    folder = tmp_path_factory.mktemp("documented")
    for number, name in enumerate(("cat", "coffee", "temple")):
        for part, seed in (("train", number), ("test", number + 10)):
            write_folder(folder / "photos" / part, (name,), 9, seed)
    train = folder / "photos" / "train"
    (train / "cat" / "broken.jpg").write_bytes(b"nothing")
    for source, target in (("train/cat", "train/cat"), ("test/coffee", "train/coffee")):
        first = min((folder / "photos" / source).iterdir())
        (folder / "photos" / target / "copy.jpg").write_bytes(first.read_bytes())
    for source, target in (("cat", "coffee"), ("coffee", "temple"), ("temple", "cat")):
        for part, piece in zip(("train", "test"), pieces(source, 2, seed=5), strict=True):
            save(piece, folder / "photos" / part / target / "strayed.jpg")
    return foveal.train(folder / "photos", folder / "run").folder


def test_result_keys_are_those_of_a_run(finished: Path) -> None:
    result = json.loads((finished / "result.json").read_text("utf-8"))
    for kind in ("doubts.rows", "mistakes", "split.set_aside", "preflight.findings", "learning_curve.points"):
        at = result
        for key in kind.split("."):
            at = at[key]
        assert at, f"the run has no {kind}, so their keys are not compared"
    real = keys(result)
    if result["features"]["precision_check"] is None:
        real |= {f"features.precision_check.{key}" for key in ("photos", "flips", "largest_change")}
        real -= {"features.precision_check"}
    empty = {key for key in real if any(other.startswith(f"{key}[].") for other in real)}
    assert listed_keys("### result.json") == real - empty


def test_bundle_keys_are_those_of_a_bundle(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} == {"bundle", "report.html", "result.json", "log.jsonl"}
    bundle = json.loads((finished / "bundle" / "bundle.json").read_text("utf-8"))
    opaque = {key for key in bundle if key in ("graph", "preprocessing", "provenance")}
    real = keys({key: None if key in opaque else value for key, value in bundle.items()})
    assert listed_keys("## The bundle") == real


def test_log_events_are_those_of_a_run(finished: Path) -> None:
    lines = (finished / "log.jsonl").read_text("utf-8").splitlines()
    listed = {row[0].strip("`"): {"event", "seconds", *codes(row[1])} for row in tables(TRAINING, "### log.jsonl")}
    for line in map(json.loads, lines):
        assert line.keys() == listed[line["event"]], line


def test_op_table_is_the_ops() -> None:
    for row in tables(GRAPHS, "## The ops"):
        for name in codes(row[0]):
            shown = [
                f"{field.name}{'' if field.default is MISSING else f'={field.default}'}" for field in fields(OPS[name])
            ]
            assert codes(row[1]) == shown, name
    assert {name for row in tables(GRAPHS, "## The ops") for name in codes(row[0])} == OPS.keys()


def test_zoo_table_is_the_zoo() -> None:
    listed = {codes(row[0])[0]: row[1:] for row in tables(GRAPHS, "## The zoo")}
    assert sorted(listed) == foveal.list_models()
    for name, row in listed.items():
        graph = foveal.create_graph(name)
        parameters = sum(math.prod(shape) for shape in graph.parameters().values())
        assert row == [text(graph.input_shape), f"{parameters:,}", f"{graph.macs():,}"], name
