"""All benchmarks, one after the other: `make bench`, or `python bench/run.py DATA [DATA ...]`.

DATA are folders of photos, a folder per class, 1,000 photos or more. Without any, folders under `bench/data/photos` are
taken. What lacks its data or its peers is named and left out.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from common import HERE, PEERS_PYTHON

from foveal.datasets.registry import is_here


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="*")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--idx", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    options = parser.parse_args()
    folders = options.data or sorted(path for path in (HERE / "data" / "photos").glob("*") if path.is_dir())
    if not folders:
        print("no folders of photos: name some, or put them under bench/data/photos (see bench/README.md)")
    for data in folders:
        _run("second_run.py", data)
        if PEERS_PYTHON.exists():
            _run("against_fastai.py", data, "--pairs", str(options.pairs))
        else:
            print(f"no peers' environment at {PEERS_PYTHON}: against_fastai.py left out (see bench/README.md)")
    _run("memory.py")
    _run("one_unit.py")
    _run("zoo_run.py")
    if PEERS_PYTHON.exists():
        _run("against_counters.py")
        _run("zoo_logits.py")
        _run("keras_code.py")
    if options.idx.is_dir():
        _run("fashion_mnist.py", "--idx", options.idx)
        _run("tiny_nets.py", "--idx", options.idx)
        _run("scratch_speed.py", "--idx", options.idx)
        _run("scaling.py")
    else:
        left_out = "fashion_mnist.py, tiny_nets.py, scratch_speed.py and scaling.py left out (see bench/README.md)"
        print(f"no Fashion-MNIST at {options.idx}: {left_out}")
    for name in ("fashion-mnist", "mnist-5k"):
        if is_here(name):
            _run("recipes.py", name)
        else:
            print(f"no {name} here: its recipe left out (see bench/README.md)")


def _run(script: str, *arguments: str | Path) -> None:
    subprocess.run([sys.executable, HERE / script, *arguments], check=True)


if __name__ == "__main__":
    main()
