"""Pages from templates, in which whatever is shown is escaped: names are hostile text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from foveal.text import printable

if TYPE_CHECKING:
    from jinja2 import Environment


def environment(folder: Path) -> Environment:
    """Templates of `folder`: HTML is escaped, text is made printable, and a name that is missing is an error."""
    import jinja2
    from markupsafe import Markup

    def shown(value: Any) -> Any:
        return printable(value, limit=1000) if isinstance(value, str) and not isinstance(value, Markup) else value

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=shown,
    )
