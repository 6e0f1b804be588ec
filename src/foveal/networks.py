"""A network from whatever names or holds one: a zoo name, a line of notation, a file, a bundle, a PyTorch module."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from foveal import anatomy, zoo
from foveal.anatomy import Anatomy
from foveal.errors import DataError, FovealError, GraphError, UnknownName, UsageError
from foveal.graph import Graph
from foveal.shapes import Shape
from foveal.text import printable
from foveal.tracing import Traced

FORMS = (
    "a zoo name, a line of notation, a graph's .json file, an .onnx file, a bundle, module:factory or file.py:factory"
)
_LARGEST = 64 * 1024**2  # bytes of a graph's JSON


def inspect(network: Any, input_shape: Shape | None = None) -> Anatomy:
    """Count a network: shapes, parameters, MACs, memory, receptive fields.

    Parameters
    ----------
    network : a `Graph`, a ``torch.nn.Module``, or text: a zoo name (``"resnet50"``), a line of notation, the path of a
        graph's JSON file, of an ONNX file or of a bundle, ``"module:factory"`` or ``"file.py:factory"`` where the
        factory takes no arguments and returns a ``torch.nn.Module`` or a `Graph`. A factory is run; nothing else is.
    input_shape : channels first, ``(3, 224, 224)``; the network's own if None. A PyTorch module needs it.

    Raises
    ------
    FovealError : no such network, a file that is not one, an input that does not fit; the message names the node.

    >>> inspect("lenet5").totals.parameters
    61706
    """
    found = read_network(network, input_shape)
    return anatomy.count(found.graph, frozen=found.frozen, notes=found.notes)


def parse(text: str) -> Graph:
    """The network that a line of notation describes; ``foveal.notation`` has its grammar.

    >>> parse("32x32x3 > conv 16 3x3 same relu").parameters()
    {'conv1.weight': (16, 3, 3, 3), 'conv1.bias': (16,)}
    """
    from foveal import notation

    return notation.parse(text)


def read_network(network: Any, input_shape: Shape | None = None) -> Traced:
    """The graph of `network`, and what is known besides; see `inspect`."""
    if isinstance(network, (str, Path)):
        network = _named(str(network), input_shape)
    if isinstance(network, Traced):
        return network
    if isinstance(network, Graph):
        return Traced(network if input_shape is None else network.with_input(input_shape))
    if _is_module(network):
        if input_shape is None:
            raise UsageError("a PyTorch module does not say what it takes; give its input, such as --input 3x224x224")
        from foveal.tracing.modules import trace

        return trace(network, input_shape)
    raise UsageError(f"{type(network).__name__} is no network; expected a Graph, a torch.nn.Module, or {FORMS}")


def _named(name: str, input_shape: Shape | None) -> Any:
    """A graph, a traced network or a module from its name."""
    path = Path(name)
    if ">" in name or "→" in name or re.match(r"\s*\d+x\d", name):
        return parse(name)
    if name.endswith(".onnx"):
        from foveal.tracing.onnx_file import read_onnx

        return read_onnx(path, input_shape)
    if name.endswith(".json"):
        return _graph_file(path)
    if ":" in name:
        return _made(name)
    if name in zoo.list_models():
        return zoo.create_graph(name)
    if name and path.is_dir():
        from foveal.bundle import MAIN, read_graph

        return read_graph(path if (path / MAIN).exists() else path / "bundle")
    if not name.strip():
        raise UsageError(f"no network was named; expected {FORMS}")
    if path.exists():
        raise UsageError(f"{printable(name)}: a file of no known kind; expected {FORMS}")
    raise UnknownName("network", printable(name), zoo.list_models(), zoo.LISTED)


def _graph_file(path: Path) -> Graph:
    try:
        if path.stat().st_size > _LARGEST:
            raise GraphError(f"{printable(path)}: larger than any graph's JSON; it was not read")
        data = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise DataError(f"{printable(path)}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise GraphError(f"{printable(path)}: not JSON ({printable(str(error))})") from error
    try:
        return Graph.from_json(data["graph"] if isinstance(data, dict) and "graph" in data else data)
    except FovealError as error:
        raise GraphError(f"{printable(path)}: {error}") from error


def _made(name: str) -> Any:
    """What the factory ``module:factory`` or ``file.py:factory`` returns."""
    place, _, attribute = name.rpartition(":")
    where = printable(name)
    factory = _run(where, lambda: _attribute(_imported(place), attribute))
    if not callable(factory):
        raise UsageError(f"{where}: {printable(attribute)} is no function")
    made = factory if _is_module(factory) or isinstance(factory, Graph) else _run(where, factory)
    if not _is_module(made) and not isinstance(made, Graph):
        raise UsageError(f"{where} gave {type(made).__name__}; expected a torch.nn.Module or a foveal.Graph")
    return made


def _imported(place: str) -> Any:
    """The module called `place`, or the Python file there, as its author would import it: from its own folder."""
    path = Path(place)
    folder = str(path.parent.resolve() if place.endswith(".py") else Path.cwd())
    sys.path.insert(0, folder)
    try:
        if not place.endswith(".py"):
            return importlib.import_module(place)
        if not path.is_file():
            raise UsageError(f"{printable(place)}: no such file")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module  # as an import would, for dataclasses and pickles in it
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(folder)


def _attribute(module: Any, name: str) -> Any:
    if not hasattr(module, name):
        raise UnknownName(f"factory in {module.__name__}", name, _factories(module))
    return getattr(module, name)


def _factories(module: Any) -> list[str]:
    """What `module` itself defines that can be called."""
    return [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]


def _run(where: str, code: Callable[[], Any]) -> Any:
    """The user's code, whose failures are told in a line with their place."""
    try:
        return code()
    except FovealError:
        raise
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        ours = {__file__, importlib.__file__}
        theirs = [f for f in frames if f.filename not in ours and not f.filename.startswith("<frozen")]
        place = f" ({printable(Path(theirs[-1].filename).name)}, line {theirs[-1].lineno})" if theirs else ""
        message = printable(str(error)) or "no message"
        raise UsageError(f"{where} raised {type(error).__name__}: {message}{place}") from error


def _is_module(value: Any) -> bool:
    torch = sys.modules.get("torch")  # whoever holds a module has imported it
    return torch is not None and isinstance(value, torch.nn.Module)
