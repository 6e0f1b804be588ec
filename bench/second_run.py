"""What the feature cache saves: a first run, a second run on the same folder, and a run after 20 photos were added.

    python bench/second_run.py DATA [--rounds 5] [--group-by ...]

Every round starts with an empty cache and a copy of DATA without its last 20 photos. Writes a section of RESULTS.md.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from common import publish, read_all, spread, table, train

ADDED = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder per class")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--group-by")
    options = parser.parse_args()
    grouping = ["--group-by", options.group_by] if options.group_by else []

    rounds = []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory(prefix="foveal-bench-") as name:
            rounds.append(_one_round(options.data, Path(name), grouping))
    count = sum(1 for path in options.data.glob("*/*") if path.is_file())
    names = ["first run", "second run", f"after adding {ADDED} photos"]
    rows = [
        [
            name,
            spread([seconds[i] for seconds in rounds], 2),
            spread([seconds[0] / seconds[i] for seconds in rounds]),
        ]
        for i, name in enumerate(names)
    ]
    publish(
        f"The second run: {options.data.name}",
        f"{count - ADDED:,} photos, then {ADDED} more; {options.rounds} rounds, median (least to greatest).\n\n"
        + table(["", "wall seconds", "times faster than the first"], rows),
    )


def _one_round(data: Path, folder: Path, options: list[str]) -> list[float]:
    photos, cache = folder / data.name, folder / "cache"
    shutil.copytree(data, photos)
    files = sorted((path for path in photos.glob("*/*") if path.is_file()), key=lambda path: (path.name, path.parent))
    later = folder / "later"
    later.mkdir()
    for number, path in enumerate(files[-ADDED:]):
        path.rename(later / str(number))
    read_all(photos)
    seconds = [train(photos, folder / f"run{i}", cache, *options)[0].seconds for i in range(2)]
    for number, path in enumerate(files[-ADDED:]):
        (later / str(number)).rename(path)
    return [*seconds, train(photos, folder / "run2", cache, *options)[0].seconds]


if __name__ == "__main__":
    main()
