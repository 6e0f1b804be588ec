"""The page, read back by the standard library's HTML and XML parsers and by WCAG's contrast formula."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from report_example import HOSTILE, empty, example, hostile
from report_page import Page

import foveal.report
from foveal.report import charts, render_report
from foveal.report.glossary import GLOSSARY
from foveal.report.render import usage
from foveal.text import printable

JPEG = b"\xff\xd8\xff\xe0 not looked at \xff\xd9"
HUNDRED = tuple(f"class number {i}" for i in range(100))
RESULTS = {
    "plain": example,
    "hostile": hostile,
    "empty": empty,
    "two": lambda: example(("cat", "dog")),
    "hundred": lambda: example(HUNDRED, per_class=5),
}


@pytest.fixture(params=RESULTS)
def result(request: pytest.FixtureRequest) -> dict[str, Any]:
    return RESULTS[request.param]()


def rendered(result: dict[str, Any]) -> str:
    photos = {row["path"]: JPEG for row in result["split"]["train"][::2]}
    return render_report(result, photos, photos)


def test_nothing_runs_and_nothing_is_fetched(result: dict[str, Any]) -> None:
    page = Page(rendered(result))
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "iframe", "object", "embed", "base", "form", "animate", "set"}
    for tag, attributes in page.elements:
        assert not [key for key in attributes if key.startswith("on") or key in ("style", "srcset", "xlink:href")], tag
        assert attributes.get("href", "#").startswith("#")
        assert attributes.get("src", "data:image/jpeg;base64,").startswith("data:image/jpeg;base64,")
    style = (Path(foveal.report.__file__).parent / "report.css").read_text("utf-8")
    assert "url(" not in style and "@import" not in style


def test_it_is_encodable_and_shows_no_invisible_character(result: dict[str, Any]) -> None:
    source = rendered(result)
    source.encode("utf-8")
    assert printable(source.replace("\n", ""), limit=len(source)) == source.replace("\n", "")


def test_every_svg_is_well_formed_and_named(result: dict[str, Any]) -> None:
    drawings = re.findall(r"<svg.*?</svg>", rendered(result), flags=re.DOTALL)
    assert len(drawings) >= 3
    for drawing in drawings:
        root = ET.fromstring(drawing)
        assert root.get("role") == "img" and root.get("aria-label")
        assert root[0].tag == "title"


def test_every_link_has_its_target_and_ids_are_unique(result: dict[str, Any]) -> None:
    page = Page(rendered(result))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {attributes["href"][1:] for attributes in page.all("a")}
    assert links <= set(ids)
    assert {f"what-{key}" for key in GLOSSARY} <= set(ids)


def test_every_glossary_entry_is_led_to_from_somewhere() -> None:
    links = {attributes["href"] for attributes in Page(rendered(example())).all("a")}
    assert {f"#what-{key}" for key in GLOSSARY} <= links


def test_every_image_has_a_text_and_a_missing_one_a_placeholder() -> None:
    result = example()
    page = Page(rendered(result))
    assert all(attributes["alt"] for attributes in page.all("img"))
    assert base64.b64encode(JPEG).decode() in rendered(result)
    placeholders = [a["aria-label"] for a in page.all("span") if a.get("class") == "missing"]
    assert f"no picture of {result['split']['train'][1]['path']}" in placeholders
    assert not Page(render_report(result, {}, {})).all("img")


@pytest.mark.parametrize("label", HOSTILE)
def test_hostile_labels_are_shown_as_written(label: str) -> None:
    page = Page(rendered(hostile()))
    assert " ".join(printable(label, limit=28).split()) in page.text
    assert any(attributes.get("title") == printable(label) for attributes in page.all("bdi"))


def test_every_label_is_in_the_page(result: dict[str, Any]) -> None:
    titles = {attributes.get("title") for attributes in Page(rendered(result)).all("bdi")}
    assert {printable(label) for label in result["data"]["classes"]} <= titles


def test_names_are_not_templates() -> None:
    assert "{{ 7 * 7 }}{% raw %}" in rendered(hostile())


def test_the_headline_and_the_order_of_sections() -> None:
    page = Page(rendered(example()))
    assert "89.1 % (285/320; 95 %: 85.2-92.0)" in page.text
    assert "Of 100 new photos like these, expect about 89 to be named right" in page.text
    assert "This score may flatter." in page.text
    eyebrows = [a["id"] for a in page.all("p") if a.get("class") == "eyebrow" and "id" in a]
    assert eyebrows == ["preflight", "confusion", "classes", "sure", "curve", "doubts", "mistakes", "none", "made",
                        "use", "glossary"]  # fmt: skip
    assert page.headings[:4] == [
        "The photos gave 1 error, 1 warning and 1 note",
        "The 35 mistakes are spread over all 8 classes",
        "No class is clearly weaker than the others",
        "Its confidence can be taken at its word",
    ]


def test_with_groups_the_caveat_gives_way_to_them() -> None:
    result = example()
    result["split"]["group_by"] = "parent"
    text = Page(rendered(result)).text
    assert "may flatter" not in text and "Groups were respected: 200 groups by parent" in text.replace(" ,", ",")


def test_an_untested_classifier_says_so() -> None:
    text = Page(rendered(empty())).text
    for said in ("Not tested", "No label is in doubt", "There is no mistake to show", "It always names one of its"):
        assert said in text


def test_full_values_on_demand() -> None:
    numbers = {a["title"] for a in Page(rendered(example())).all("data")}
    assert {"0.3512345", "0.4321987", "1.2345678"} <= numbers


def test_many_classes_show_pairs_instead_of_a_matrix() -> None:
    text = rendered(example(HUNDRED, per_class=5))
    assert "With 100 classes" in text and "Confusion matrix of 100" not in text
    assert "Confusion matrix of 8" in rendered(example())


def test_long_lists_are_folded_and_cut() -> None:
    result = example()
    row = result["mistakes"][0]
    result["mistakes"] = [{**row, "path": f"photo-{k:04d}.jpg"} for k in range(500)]
    source = rendered(result)
    assert "photo-0199.jpg" in source and "photo-0200.jpg" not in source
    assert "488 more" in source and "The rest is in result.json." in source


def test_commands_can_be_pasted(tmp_path: Path) -> None:
    """The oracle is bash itself."""
    for out in (*HOSTILE, "it's \\ here", "-x", "a\x85b\u200f'", "simple"):
        command = usage({**example(), "out": out})["predict"].replace("foveal predict", "printf '%s\\0'", 1)
        assert printable(command, limit=10_000) == command
        said = subprocess.run(["bash", "-c", command], capture_output=True, check=True).stdout.split(b"\0")
        expected = ("./" if out.startswith("-") else "") + out + "/bundle"
        assert said[:2] == [expected.encode("utf-8", "surrogateescape"), b"my photo.jpg"]


def test_python_lines_run() -> None:
    for out in HOSTILE:
        lines = usage({**example(), "out": out})["python"].splitlines()
        path = re.fullmatch(r"model = foveal\.load\((.*)\)", lines[2])
        assert path and eval(path[1]) == f"{out}/bundle"


def palette(style: str, start: str) -> dict[str, charts.Rgb]:
    block = style[style.index(start) :]
    block = block[: block.index("}")]
    found = re.findall(r"--([a-z]+): #([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2});", block)
    return {name: (int(r, 16), int(g, 16), int(b, 16)) for name, r, g, b in found}


@pytest.mark.parametrize("start", [":root", "prefers-color-scheme: dark", "@media print"])
def test_text_can_be_read_in_every_scheme(start: str) -> None:
    style = (Path(foveal.report.__file__).parent / "report.css").read_text("utf-8")
    colors = palette(style, start)
    for text in ("ink", "muted", "accent", "warn"):
        for ground in ("paper", "raised"):
            assert charts.contrast(colors[text], colors[ground]) >= 4.5, (text, ground)
    assert charts.contrast(colors["ink"], colors["chosen"]) >= 4.5
    assert charts.contrast(colors["accent"], colors["paper"]) >= 3  # marks and lines
    assert charts.contrast(colors["ink"], colors["bar"]) >= 3  # whiskers on bars


def test_it_is_quick() -> None:
    """Processor time of imports, compiling and rendering in a fresh process, against a generous limit."""
    code = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); import numpy;"
        "from report_example import example; r = example();"
        "p = {x['path']: bytes(8000) for x in r['split']['train']}; t = time.process_time();"
        "from foveal.report import render_report; render_report(r, p, p); print(time.process_time() - t);"
        "assert not {'matplotlib', 'torch', 'sklearn', 'PIL'} & set(sys.modules)"
    )
    taken = []
    for _ in range(3):
        here = str(Path(__file__).parent)
        taken.append(float(subprocess.run([sys.executable, "-c", code, here], capture_output=True, check=True).stdout))
    assert min(taken) < 0.6
