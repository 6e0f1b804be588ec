"""What this machine gives: processors this process may really use, and the versions of what is installed."""

from __future__ import annotations

import math
import os
import platform
from importlib import metadata
from pathlib import Path


def cpu_threads() -> int:
    """Processors this process may use: the scheduler's mask, limited by the container's quota (cgroup v2 or v1)."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_quota(Path("/sys/fs/cgroup"))
    return max(1, min(allowed, math.ceil(quota))) if quota else allowed


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
