"""What this machine gives: processors this process may really use, and the versions of what is installed."""

from __future__ import annotations

import contextlib
import math
import os
import platform
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path


def cpu_threads() -> int:
    """Processors this process may use: the scheduler's mask, limited by the container's quota (cgroup v2 or v1)."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_quota(Path("/sys/fs/cgroup"))
    return max(1, min(allowed, math.ceil(quota))) if quota else allowed


def available_memory() -> int | None:
    """Bytes that this process may still take: what the kernel can give, within what its control groups allow.

    None where neither says (beyond Linux).
    """
    left = [*_kernel_memory(Path("/proc/meminfo")), *_cgroup_memory(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))]
    return max(0, min(left)) if left else None


def versions() -> dict[str, str]:
    """Python's version and those of the packages a result depends on."""
    found = {"python": platform.python_version()}
    for package in ("foveal", "numpy", "openvino", "pillow", "safetensors", "torch"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _cgroup_quota(root: Path) -> float | None:
    """Processors' worth of time the control group allows, or None without a limit."""
    try:
        if (root / "cpu.max").exists():
            quota, period = (root / "cpu.max").read_text().split()
        else:
            quota, period = ((root / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return int(quota) / int(period) if quota.strip() != "max" and int(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _kernel_memory(meminfo: Path) -> Iterator[int]:
    """What the kernel counts as available, if it says: free, or given back at once."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                yield 1024 * int(line.split()[1])


def _cgroup_memory(membership: Path, root: Path) -> Iterator[int]:
    """What is left of the limit of each control group around this process (cgroup v2 and v1)."""
    try:
        lines = [line.split(":", 2) for line in membership.read_text().splitlines()]
    except OSError:
        return
    for _, controllers, path in lines:
        if controllers not in ("", "memory"):
            continue
        base = root / controllers
        own = base / path.strip("/")
        for group in (own, *own.parents):  # in a container the path may be the host's; the root is there
            if group.is_relative_to(base):
                yield from _left(group)


def _left(group: Path) -> Iterator[int]:
    """The limit of `group` less what its processes use; what it holds of files is given back when it must be."""
    for limit, usage, files in (
        ("memory.max", "memory.current", ("active_file", "inactive_file")),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_active_file", "total_inactive_file")),
    ):
        with contextlib.suppress(OSError, ValueError):  # ValueError also for "max"
            most, used = (int((group / name).read_text()) for name in (limit, usage))
            stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            yield most - used + sum(int(stat.get(name, 0)) for name in files)
