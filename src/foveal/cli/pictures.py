"""Pictures and plots into files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foveal.cli.show import out, tell
from foveal.errors import UsageError
from foveal.text import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLOTS = (".png", ".svg", ".pdf")


def check_suffix(path: Path | None, *suffixes: str, option: str = "--out") -> None:
    """UsageError where `option` is given and has another suffix; to be called before the work."""
    if path and path.suffix.lower() not in suffixes:
        raise UsageError(f"{option} {printable(path)}: expected a name that ends with {' or '.join(suffixes)}")


def save_png(pixels: Any, path: Path) -> None:
    """uint8 (H, W) or (H, W, 3) as a PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    _write(path, buffer)


def save_both(before: Any, after: Any, path: Path) -> None:
    """Both pictures side by side as a PNG, and a line that says if the second is enlarged."""
    from foveal.teaching.pictures import enlargement, side_by_side

    if (factor := enlargement(before, after)) > 1:
        out(f"in the file, the picture after is enlarged {factor} times")
    save_png(side_by_side(before, after), path)


def save_plot(figure: Figure, path: Path) -> None:
    """A figure as what the suffix says, one of `PLOTS`; it is closed."""
    import matplotlib.pyplot as plt

    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix[1:].lower(), dpi=120)
    plt.close(figure)
    _write(path, buffer)


def _write(path: Path, buffer: io.BytesIO) -> None:
    from foveal.files import write_atomic

    write_atomic(path, buffer.getvalue())
    tell(f"wrote {printable(path)}")
