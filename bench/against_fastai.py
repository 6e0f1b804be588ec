"""Foveal against fastai's `fine_tune(1)`: the same photos, split and backbone weights, whole processes.

    python bench/against_fastai.py DATA [--pairs 3] [--group-by ...] [--peers-python bench/peers/bin/python]

One `foveal train` makes the split (its time is not counted). Then the two run in turn, A B B A ..., each on the same
lists of photos. Foveal starts with an empty feature cache every time. Writes a section of RESULTS.md.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from common import HERE, PEERS_PYTHON, Run, photo_lists, publish, read_all, run, spread, table, train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder per class")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=1, help="of the peer, after its frozen one")
    parser.add_argument("--group-by")
    parser.add_argument("--peers-python", type=Path, default=PEERS_PYTHON)
    options = parser.parse_args()
    grouping = ["--group-by", options.group_by] if options.group_by else []
    read_all(options.data)

    with tempfile.TemporaryDirectory(prefix="foveal-bench-") as name:
        folder = Path(name)
        _, first = train(options.data, folder / "split", folder / "split-cache", *grouping)
        lists = photo_lists(first, options.data, folder)

        def ours(number: int) -> tuple[Run, dict[str, float]]:
            done, result = train(options.data, folder / f"run{number}", folder / f"cache{number}", *grouping)
            same = [row["sha256"] for row in result["split"]["test"]] == [
                row["sha256"] for row in first["split"]["test"]
            ]
            assert same, "the split changed between two runs with the same seed"
            return done, result["test"]

        def theirs() -> tuple[Run, dict[str, float]]:
            script = [options.peers_python, HERE / "fastai_finetune.py", "--epochs", str(options.epochs)]
            done = run([*script, "--train-list", lists[0], "--test-list", lists[1]])
            return done, json.loads(done.output.splitlines()[-1])

        pairs = []
        for number in range(options.pairs):
            if number % 2 == 0:
                a = ours(number)
                b = theirs()
            else:
                b = theirs()
                a = ours(number)
            pairs.append((a, b))

    _report(options.data, options.epochs, options.group_by, first, pairs)


def _report(
    data: Path,
    epochs: int,
    group_by: str | None,
    first: dict[str, dict[str, list[object]]],
    pairs: list[tuple[tuple[Run, dict[str, float]], tuple[Run, dict[str, float]]]],
) -> None:
    peer = f"fastai fine_tune({epochs})"
    rows = []
    for who, arm in (("foveal train", 0), (peer, 1)):
        runs = [pair[arm][0] for pair in pairs]
        scores = [pair[arm][1] for pair in pairs]
        rows.append(
            [
                who,
                spread([done.seconds for done in runs]),
                spread([done.cpu_seconds for done in runs]),
                spread([done.peak_gib for done in runs], 2),
                ", ".join(f"{100 * s['accuracy']:.1f} % ({s['correct']}/{s['total']})" for s in scores),
            ]
        )
    ratio = spread([theirs[0].seconds / ours[0].seconds for ours, theirs in pairs])
    counts = [len(first["split"][split]) for split in ("train", "test")]
    publish(
        f"Against {peer}: {data.name}",
        f"{counts[0]:,} training and {counts[1]:,} test photos"
        + (f", grouped by `{group_by}`" if group_by else "")
        + f"; {len(pairs)} pairs, in turn.\n"
        f"**Foveal is {ratio} times faster** (median, least and greatest of the paired ratios of wall time).\n\n"
        + table(["", "wall seconds", "CPU seconds", "peak GiB", "test accuracy of each run"], rows),
    )


if __name__ == "__main__":
    main()
