"""``foveal check``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def check(
    data: Annotated[
        Path, typer.Argument(help="A folder per class, such folders under train/ and test/, or a manifest.")
    ],
    group_by: Annotated[str | None, typer.Option(help="As for train.")] = None,
    format: Annotated[str, typer.Option(help="text or json.")] = "text",
    cache: Annotated[bool, typer.Option("--cache/--no-cache", help="Keep what was read for the next run.")] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Look labelled photos over before training. Exits with 3 if they cannot be trained on."""
    import json

    from foveal.api import check as run
    from foveal.cli.show import MARKS, Watcher, out
    from foveal.errors import UsageError
    from foveal.text import plural, printable

    if format not in ("text", "json"):
        raise UsageError(f"--format {format!r:.40}; expected text or json")
    with Watcher(quiet) as watcher:
        found = run(data, group_by=group_by, cache=cache, observer=watcher)
    if format == "json":
        out(json.dumps(found.to_json()))
    else:
        out(f"{plural(found.photos, 'photo')} in {plural(len(found.dataset.classes), 'class', 'classes')} can be read")
        for finding in found.findings:
            out(f"{MARKS[finding.severity]} {finding.title}")
            for row in finding.rows[:5]:
                out(f"          {', '.join(printable(path) for path in row.paths[:4]) or '-'}: {printable(row.text)}")
            if len(finding.rows) > 5:
                out(f"          and {len(finding.rows) - 5:,} more")
            out(f"        > {finding.advice}")
        if found.seconds is not None:
            out(f"training would take about {found.seconds:.0f} s on this machine")
    if found.seconds is None:
        raise typer.Exit(3)
