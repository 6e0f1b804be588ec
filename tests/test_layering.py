"""The import order of the house: a module imports only from above itself, and nothing above the line imports torch."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "foveal"

ORDER = """
    errors text svg templates files parallel machine colors metrics
    shapes cells fields ops graph notation blocks anatomy zoo rewriting source reference
    data store weights published fetching datasets engines catalogue features teaching
    heads scoring bundle classifier evaluation account report runlog demo
    --- torch ---
    modules build tracing networks checkpoints initializing models explaining backbones
    training experiments api cli __main__
""".split()
LINE = ORDER.index("---")
PUBLIC = {"foveal"}  # `import foveal` itself, for its version; it loads nothing eagerly

MODULES = sorted(SOURCE.rglob("*.py"))


def layer(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names += [
                f"{node.module}.{alias.name}" if node.module == "foveal" else str(node.module) for alias in node.names
            ]
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_upward(path: Path) -> None:
    mine = layer(path)
    if mine == "__init__":
        return  # names load lazily; test_start_up asserts it
    assert mine in ORDER, f"{mine} has no place in the order; give it one"
    for name in imports(path):
        if name in PUBLIC or not name.startswith("foveal."):
            continue
        theirs = name.split(".")[1]
        if theirs == "__version__":
            continue
        assert theirs in ORDER, f"{path} imports {name}, which has no place in the order"
        assert ORDER.index(theirs) <= ORDER.index(mine), f"{path} imports {name}, which stands below it"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_torch_above_the_line(path: Path) -> None:
    if layer(path) in ORDER[:LINE]:
        assert not [name for name in imports(path) if name.split(".")[0] == "torch"]
