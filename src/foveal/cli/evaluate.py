"""``foveal evaluate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer


def evaluate(
    bundle: Annotated[Path, typer.Argument(help="The bundle of a run, or the run's folder.")],
    data: Annotated[Path, typer.Argument(help="Labelled photos, laid out as for train; a test part is used if there.")],
    format: Annotated[str, typer.Option(help="table or json.")] = "table",
    precision: Annotated[str | None, typer.Option(help="bf16 or f32.", show_default="as trained")] = None,
) -> None:
    """Measure a bundle on labelled photos that it has not seen."""
    from foveal.api import evaluate as run
    from foveal.cli.show import out
    from foveal.errors import UsageError

    if format not in ("table", "json"):
        raise UsageError(f"--format {format!r:.40}; expected table or json")
    result = run(bundle, data, precision=precision)
    if format == "json":
        out(json.dumps(result))
    else:
        _show(result)


def _show(result: dict[str, Any]) -> None:
    from foveal.cli.show import draw, out
    from foveal.report.terminal import class_table
    from foveal.report.wording import accuracy_text
    from foveal.text import plural, printable

    out(accuracy_text(result))
    draw(class_table({"test": result}, most=50))
    unknown = result["unknown"]
    if unknown["count"]:
        out(f"{plural(unknown['count'], 'photo')} of known classes called unknown")
    for label, counts in result["other_classes"].items():
        photos = plural(counts["photos"], "photo")
        out(f"{printable(label)}: not a class of the bundle; {counts['unknown']:,} of {photos} called unknown")
    if result["seen_in_training"]:
        out(f"warning: {plural(result['seen_in_training'], 'photo')} of these were trained on, so this flatters")
    if result["refused"]:
        out(f"{plural(len(result['refused']), 'file')} set aside:")
        for row in result["refused"][:10]:
            out(f"  {printable(row['path'])}: {printable(row['reason'])}")
    for row in result["mistakes"][:10]:
        said = f"{printable(row['predicted'])} ({100 * row['probability']:.1f} %)"
        out(f"  {printable(row['path'])}: {printable(row['label'])}, called {said}")
    if len(result["mistakes"]) > 10:
        out(f"  and {plural(len(result['mistakes']) - 10, 'more mistake')} (--format json lists all)")
