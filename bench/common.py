"""What the benchmarks share: running whole processes on the clock, and writing tables."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "RESULTS.md"
PEERS_PYTHON = HERE / "peers" / "bin" / "python"


@dataclass(frozen=True)
class Run:
    """One finished process: seconds on the wall clock, CPU seconds, largest resident memory in GiB, what it printed."""

    seconds: float
    cpu_seconds: float
    peak_gib: float
    output: str


def run(command: Sequence[str | Path], **environment: str | Path) -> Run:
    """Run `command` to its end; its progress stays visible on stderr. Stops the benchmark if it fails.

    The memory is that of the process and of the children it waited for, whichever is largest (Linux, macOS).
    """
    words = [str(word) for word in command]
    print("$", *words, file=sys.stderr)
    began = time.perf_counter()
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, text=True, env=os.environ | {k: str(v) for k, v in environment.items()}
    )
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"stopped: exit code {process.returncode} from {' '.join(words)}\n{output}")
    unit = 2**30 if sys.platform == "darwin" else 2**20  # macOS counts bytes, Linux KiB
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit, output)


def train(data: Path, out: Path, cache: Path, *options: str) -> tuple[Run, dict[str, Any]]:
    """`foveal train` as a whole process with its feature cache in `cache`; also returns its result.json."""
    finished = run([sys.executable, "-m", "foveal", "train", data, "--out", out, *options], FOVEAL_CACHE=cache)
    return finished, json.loads((out / "result.json").read_text("utf-8"))


def photo_lists(result: dict[str, Any], data: Path, folder: Path) -> tuple[Path, Path]:
    """Write the split of a Foveal run as two JSON lists of absolute paths, for a peer to read; returns both files."""
    files = []
    for split in ("train", "test"):
        rows = [{"path": str(_absolute(row["path"], data)), "label": row["label"]} for row in result["split"][split]]
        files.append(folder / f"{split}.json")
        files[-1].write_text(json.dumps(rows), "utf-8")
    return files[0], files[1]


def _absolute(path: str, data: Path) -> Path:
    found = next((p for p in (Path(path), data / path) if p.is_file()), None)
    return found.absolute() if found else sys.exit(f"stopped: result.json names {path}, which is not there")


def read_all(data: Path) -> int:
    """Read every file once, so that no run pays for a cold disk; returns how many."""
    return sum(1 for path in data.rglob("*") if path.is_file() and path.read_bytes())


def spread(values: Sequence[float], digits: int = 1) -> str:
    """``median (min to max)``."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine() -> str:
    """One line: processor, cores in use, system, versions."""
    name = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        models = [
            line.split(":", 1)[1].strip() for line in information.read_text().splitlines() if "model name" in line
        ]
        name = models[0] if models else name
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in ("foveal", "openvino", "torch", "pillow"))
    return f"{name}, {cores} cores, {platform.system()}, Python {platform.python_version()}, {versions}"


def publish(title: str, text: str) -> None:
    """Print a section and put it into RESULTS.md in place of the older section with the same title."""
    section = f"## {title}\n\n{text}\n\nMeasured {time.strftime('%Y-%m-%d')} on {machine()}, with\n`{_command()}`.\n"
    print(section)
    head, *sections = RESULTS.read_text("utf-8").split("\n## ")
    kept = {body.split("\n", 1)[0]: f"## {body.strip()}\n" for body in sections}
    kept[title] = section
    RESULTS.write_text("\n".join([head.strip() + "\n", *kept.values()]), "utf-8")


def _command() -> str:
    return " ".join(["python", f"bench/{Path(sys.argv[0]).name}", *(Path(a).name or a for a in sys.argv[1:])])
