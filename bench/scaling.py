"""Several processes, or one with several threads: images a second of one training, started as a user starts it.

    python bench/scaling.py [--pairs 3]

Networks of two sizes on Fashion-MNIST. Each way is a whole process; ways are taken in turn. Writes a section of
RESULTS.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

from common import publish, run, spread, table

NETWORKS = {
    "lectures' net": "28x28x1 > conv 28 3x3 relu > maxpool 3 > flatten > dense 16 relu > dense 10",
    "three stages": (
        "28x28x1 > conv 16 3x3 same bn relu > maxpool 2 > conv 32 3x3 same bn relu > maxpool 2 > "
        "conv 64 3x3 same bn relu > global avgpool > flatten > dense 10"
    ),
}
WAYS = {"1 process, 1 thread": (1, 1), "1 process, 2 threads": (1, 2), "2 processes, 1 thread each": (2, 1)}
EPOCHS = 2  # the second is counted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    rows = []
    for name, line in NETWORKS.items():
        speeds: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(options.pairs):
            for way, (processes, threads) in WAYS.items():
                speeds[way].append(speed(line, processes, threads))
                print(name, way, f"{speeds[way][-1]:,.0f}", file=sys.stderr, flush=True)
        first = next(iter(speeds.values()))
        for way, found in speeds.items():
            ratios = [one / base for one, base in zip(found, first, strict=True)]
            rows.append((name, way, f"{statistics.median(found):,.0f}", spread(ratios, 2)))
    note = (
        "Batches of 128 in all, float32, channels-last, the second epoch. Ratios are to one process with one thread "
        "in the same round. The processes join their gradients and batch norms through gloo."
    )
    publish(
        "Several processes",
        f"{note}\n\n{table(('network', 'way', 'images a second', 'ratio: median (least to most)'), rows)}",
    )


def speed(line: str, processes: int, threads: int) -> float:
    """Images a second of the last epoch."""
    with tempfile.TemporaryDirectory(prefix="foveal-bench-") as name:
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        command = ["-m", "foveal", "train", "fashion-mnist", "--from-scratch", line, "--out", f"{name}/run", "-q"]
        settings = {"epochs": EPOCHS, "precision": "f32", "layout": "channels-last", "device": "cpu"}
        words = [*command, "--threads", str(threads), *(f"--set={key}={value}" for key, value in settings.items())]
        run([sys.executable, *(launch if processes > 1 else []), *words], OMP_NUM_THREADS=str(threads))
        result = json.loads(Path(name, "run", "result.json").read_text("utf-8"))
    return float(result["history"]["epochs"][-1]["images_per_second"])


if __name__ == "__main__":
    os.environ["TORCH_CPP_LOG_LEVEL"] = "ERROR"
    main()
