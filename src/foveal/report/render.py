"""A run's result as one self-contained HTML page."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foveal.report import charts, wording
from foveal.report.glossary import GLOSSARY
from foveal.templates import environment
from foveal.text import plural, printable

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

SHOWN = 12  # photos of a kind shown as pictures; the rest is listed
LISTED = 200  # names of a kind listed; the rest is in result.json
_FOLDER = Path(__file__).parent


def render_report(result: dict[str, Any], pictures: Mapping[str, bytes], maps: Mapping[str, bytes]) -> str:
    """`result` (see ``result.json``) as one HTML page that needs no network and no JavaScript.

    Parameters
    ----------
    result : everything the page says.
    pictures : JPEG bytes of thumbnails by path as in `result`; a missing one becomes a neutral placeholder.
    maps : JPEG bytes by path, the photo under its class activation map; may lack any.

    Returns
    -------
    The page; it can be encoded as UTF-8 whatever the names contain.
    """
    from markupsafe import Markup

    page = page_templates(pictures, maps, GLOSSARY).get_template("report.html")
    return page.render(r=result, style=page_style(), **_derived(result, Markup))


def page_templates(
    pictures: Mapping[str, bytes],
    maps: Mapping[str, bytes],
    glossary: Mapping[str, tuple[str, str]],
    noun: str = "photo",
) -> Environment:
    """The templates of this folder, with what they call.

    Parameters
    ----------
    pictures, maps : as `render_report` has them.
    glossary : id -> (term, definition); a label that is not in it is an error.
    noun : what the data are.
    """
    from markupsafe import Markup

    def photo(path: str, kind: str = "photo") -> Markup:
        data = (maps if kind == "map" else pictures).get(path)
        name = printable(path)
        if data is None:
            return Markup('<span class="missing" role="img" aria-label="no picture of {0}">{0}</span>').format(name)
        alt = f"class activation map of {name}" if kind == "map" else name
        source = base64.b64encode(data).decode("ascii")
        return Markup('<img alt="{}" src="data:image/jpeg;base64,{}">').format(alt, Markup(source))

    def term(key: str, text: str | None = None) -> Markup:
        known, _ = glossary[key]
        return Markup('<a class="term" href="#what-{}">{}</a>').format(key, text or known)

    def chart(name: str, *arguments: Any, **options: Any) -> Markup:
        return Markup(getattr(charts, name)(*arguments, **options))

    templates = environment(_FOLDER)
    templates.filters.update(
        percent=wording.percent, number=_number, seconds=wording.seconds, plural=plural, quoted=wording.short
    )
    templates.globals.update(
        photo=photo, term=term, chart=chart, say=wording, glossary=glossary, shown=SHOWN, listed=LISTED, noun=noun
    )
    return templates


def page_style() -> Markup:
    """The style sheet of every page."""
    from markupsafe import Markup

    return Markup((_FOLDER / "report.css").read_text("utf-8"))


def _derived(result: Mapping[str, Any], markup: type[Markup]) -> dict[str, Any]:
    """What the page shows beyond `result` itself."""
    classes, confusion = result["data"]["classes"], result["test"]["confusion"]
    order = {"error": 0, "warning": 1, "note": 2}
    candidates = sorted(result["head"]["candidates"], key=lambda c: (not c["chosen"], -c["accuracy"]))
    commands = {name: markup.escape(text) for name, text in usage(result).items()}
    return {
        "findings": sorted(result["preflight"]["findings"], key=lambda f: order[f["severity"]]),
        "pairs": wording.confused_pairs(classes, confusion),
        "matrix": len(classes) <= charts.LARGEST_MATRIX,
        "per_class": weakest_first(result["test"]["per_class"]),
        "candidates": candidates,
        "stages": {name: t for name, t in result["seconds"].items() if name != "total"},
        "curve_rest": wording.first_sentence(result["learning_curve"]["verdict"])[1]
        if result["learning_curve"]
        else "",
        "usage": commands,
    }


def weakest_first(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Scores by class, the least recall before all; those without are last."""
    return sorted(rows, key=lambda row: 2.0 if row["recall"] is None else row["recall"])


def _number(value: float | None) -> Any:
    """Four digits, and the full value on demand (as the element's title)."""
    from markupsafe import Markup

    text = wording.number(value)
    return text if value is None or text == str(value) else Markup('<data value="{0}" title="{0}">{1}</data>').format(
        repr(value), text
    )  # fmt: skip


def usage(result: Mapping[str, Any]) -> dict[str, str]:
    """The commands and the Python lines that use this run's bundle; names are quoted so that they can be pasted."""
    bundle = wording.bundle_path(result)
    word = wording.shell_word(bundle)
    return {
        "predict": f"foveal predict {word} {shlex.quote('my photo.jpg')}",
        "folder": f"foveal predict {word} new-photos/ --format csv",
        "evaluate": f"foveal evaluate {word} other-labelled-photos/",
        "python": f'import foveal\n\nmodel = foveal.load({bundle!r})\nanswers = model.predict(["my photo.jpg"])',
    }
