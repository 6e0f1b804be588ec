"""ONNX files as graphs: `read_onnx`. The work is in `foveal.tracing.onnx_graph`, which needs onnx installed."""

from __future__ import annotations

from pathlib import Path

from foveal.errors import FovealError, GraphError, MissingExtra
from foveal.shapes import Shape
from foveal.text import plural, printable
from foveal.tracing import Traced

MOST_BYTES = 2**31
"""What protobuf can hold; larger models keep their weights in files of their own."""


def read_onnx(path: str | Path, input_shape: Shape | None = None) -> Traced:
    """The network in an ONNX file.

    The file is untrusted: it is parsed as data alone, nothing in it is run, and tensors that it keeps in other files
    are never opened (its header states their sizes); they must lie in the model's folder.

    Parameters
    ----------
    input_shape : channels first, without the batch axis; the file's own if None.

    Returns
    -------
    Traced
        Nodes are called as the file calls them, as far as that makes valid names; `Traced.parameters_of` gives the
        names of the stored tensors. A single number that an opaque step reads is a setting, not a weight.

    Raises
    ------
    MissingExtra : onnx is not installed.
    UsageError : the file leaves sizes of its input open and `input_shape` is None, or has another number of axes.
    GraphError : no ONNX file, a damaged one, several inputs, weights outside its folder, a step of unknown shape.
    ShapeError : a step that cannot take its input.
    """
    path = Path(path)
    content = _content(path)
    try:
        import onnx
    except ImportError as error:
        raise MissingExtra("reading ONNX files", "export") from error
    from foveal.tracing.onnx_graph import read_model

    try:
        model = onnx.ModelProto.FromString(content)
    except Exception as error:  # protobuf's DecodeError; protobuf itself is no dependency of ours
        raise GraphError(f"{printable(path)}: not an ONNX file, or a damaged one; export it again") from error
    try:
        return read_model(model, path, input_shape)
    except FovealError as error:
        raise type(error)(f"{printable(path)}: {error}") from error


def _content(path: Path) -> bytes:
    where = printable(path)
    try:
        if not path.is_file():
            found = "a folder" if path.is_dir() else "no such file"
            raise GraphError(f"{where}: {found}; expected an ONNX file")
        size = path.stat().st_size
        if size >= MOST_BYTES:
            raise GraphError(f"{where}: {plural(size, 'byte')}; expected less than 2 GiB, with the weights beside it")
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        raise GraphError(f"{where}: cannot be read ({printable(str(error))})") from error
    if not content:
        raise GraphError(f"{where}: empty; expected an ONNX file")
    return content
