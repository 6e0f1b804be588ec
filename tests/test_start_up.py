"""What starting costs and loads, seen from outside: every check runs in a process of its own."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import foveal
from foveal.features import Backbone

HEAVY = {"torch", "openvino", "matplotlib", "sklearn", "scipy", "PIL", "numpy", "safetensors", "pandas", "skimage"}


def python(script: str, *arguments: object) -> Any:
    """What `script` prints, as JSON."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


LOADED = "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"


def test_importing_foveal_loads_nothing_heavy() -> None:
    loaded = set(python(f"import json, sys, foveal; {LOADED}"))
    assert "foveal" in loaded and not loaded & HEAVY
    assert "typer" not in loaded and "rich" not in loaded


def test_the_command_line_loads_nothing_heavy_before_it_works() -> None:
    assert not set(python(f"import json, sys, foveal.cli; {LOADED}")) & HEAVY


EVERYTHING = """
import importlib, json, pkgutil, sys
import foveal
names = [info.name for info in pkgutil.walk_packages(foveal.__path__, "foveal.") if info.name != "foveal.__main__"]
modules = {name: importlib.import_module(name) for name in names}
public = {name: getattr(foveal, name) for name in foveal.__all__}
print(json.dumps({
    "names": names,
    "kinds": {name: type(thing).__name__ for name, thing in public.items()},
    "homes": {name: thing.__module__ for name, thing in public.items()},
    "same": {name: getattr(modules[thing.__module__], name) is thing for name, thing in public.items()},
}))
"""


def test_every_submodule_imports_and_none_shadows_a_public_name() -> None:
    found = python(EVERYTHING)
    assert {"foveal.build", "foveal.cli.train", "foveal.engines.openvino", "foveal.heads.maps"} <= set(found["names"])
    kinds = {"Config": "type", "FovealError": "type", "Graph": "type"}
    assert found["kinds"] == {name: kinds.get(name, "function") for name in foveal.__all__}
    assert all(found["same"].values())
    assert not {f"foveal.{name}" for name in foveal.__all__} & set(found["names"])


def test_public_names_are_listed_and_others_refused() -> None:
    assert {"train", "load", "check", "evaluate"} <= set(foveal.__all__)
    assert set(foveal.__all__) <= set(dir(foveal)) and "__version__" in dir(foveal)
    with pytest.raises(AttributeError, match="module 'foveal' has no attribute 'trian'"):
        _ = foveal.trian


def test_the_names_that_type_checkers_see_are_those_that_exist() -> None:
    source = Path(str(foveal.__file__)).read_text("utf-8")
    block = source.split("if TYPE_CHECKING:")[1].split("_HOMES")[0]
    seen = {
        name.strip(): module
        for module, names in re.findall(r"from foveal\.([\w.]+) import (.+)", block)
        for name in names.split(",")
    }
    assert seen == foveal._HOMES and sorted(seen) == sorted(foveal.__all__)


def cpu_seconds(*command: str) -> float:
    """Processor time of a command and all it starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["--version"]], ids=" ".join)
def test_help_answers_in_less_than_half_a_second_of_processor_time(arguments: list[str]) -> None:
    assert min(cpu_seconds(sys.executable, "-m", "foveal", *arguments) for _ in range(3)) < 0.5


@pytest.mark.parametrize("program", [[sys.executable, "-m", "foveal"], [str(Path(sys.executable).with_name("foveal"))]])
def test_both_ways_to_start_say_the_version(program: list[str]) -> None:
    done = subprocess.run([*program, "--version"], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == (f"foveal {foveal.__version__}\n", "")


TRAIN = """
import json, sys
import foveal
run = foveal.train(sys.argv[1], sys.argv[2])
classifier = foveal.load(run.folder)
said = classifier.predict(sys.argv[3])[0]
print(json.dumps({
    "loaded": sorted({name.partition(".")[0] for name in sys.modules}),
    "label": said.label,
    "wrote": sorted(path.name for path in run.folder.iterdir()),
}))
"""


def test_training_and_predicting_never_import_torch(
    backbone: Backbone, photo_folder: Path, photo_files: list[Path], tmp_path: Path
) -> None:
    """Seconds of every run; `backbone` has converted the weights, which is all that torch is needed for."""
    found = python(TRAIN, photo_folder, tmp_path / "run", photo_files[0])
    assert "openvino" in found["loaded"]
    assert not set(found["loaded"]) & {"torch", "matplotlib", "skimage", "pandas"}
    assert found["label"] == "cat"
    assert found["wrote"] == ["bundle", "log.jsonl", "report.html", "result.json"]


def test_importing_writes_nothing(tmp_path: Path) -> None:
    script = "import importlib, pkgutil, foveal\nfor i in pkgutil.walk_packages(foveal.__path__, 'foveal.'):\n"
    script += " i.name == 'foveal.__main__' or importlib.import_module(i.name)"
    environment = {**os.environ, "FOVEAL_CACHE": str(tmp_path / "cache"), "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True)
    assert not (tmp_path / "cache").exists() and not list(tmp_path.glob("*foveal*"))
