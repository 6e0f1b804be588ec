"""What an experiment found: printed, and put into a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FORMATS = ("text", "json")


def check(format: str, out: Path | None) -> None:
    """UsageError for another format, or an `out` that is a file; to be called before the work."""
    from foveal.errors import UsageError
    from foveal.text import printable

    if format not in FORMATS:
        raise UsageError(f"--format {format!r:.40}; expected one of {', '.join(FORMATS)}")
    if out is not None and out.exists() and not out.is_dir():
        raise UsageError(f"--out {printable(out)}: a file; expected the name of a folder, which may be a new one")


def show(found: Any, format: str, out: Path | None) -> None:
    """`found` on stdout, and as ``result.json``, ``plot.png`` and, where it has a page, ``report.html`` in `out`."""
    from foveal.cli.pictures import save_plot
    from foveal.cli.show import deliver
    from foveal.files import make_folder

    content = found.to_json()
    deliver(json.dumps(content) if format == "json" else str(found), None)
    if out is None:
        return
    make_folder(out)
    deliver(json.dumps(content, indent=1), out / "result.json")
    save_plot(found.plot(), out / "plot.png")
    if hasattr(found, "page"):
        deliver(found.page(), out / "report.html")
