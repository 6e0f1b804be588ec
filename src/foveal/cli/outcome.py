"""What an experiment found: printed, and put into a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FORMATS = ("text", "json")


def check(format: str, out: Path | None) -> None:
    """To be called before the work.

    Raises
    ------
    UsageError : another format.
    OutputError : an `out` in which nothing can be written; it may be a new folder.
    """
    from foveal.errors import UsageError
    from foveal.files import check_writable

    if format not in FORMATS:
        raise UsageError(f"--format {format!r:.40}; expected one of {', '.join(FORMATS)}")
    if out is not None:
        check_writable(out)


def show(found: Any, format: str, out: Path) -> None:
    """`found` on stdout, and as ``result.json``, ``plot.png`` and, where it has a page, ``report.html`` in `out`."""
    from foveal.cli.pictures import save_plot
    from foveal.cli.show import deliver
    from foveal.files import make_folder

    content = found.to_json()
    deliver(json.dumps(content) if format == "json" else str(found), None)
    make_folder(out)
    deliver(json.dumps(content, indent=1), out / "result.json")
    save_plot(found.plot(), out / "plot.png")
    if hasattr(found, "page"):
        deliver(found.page(), out / "report.html")
