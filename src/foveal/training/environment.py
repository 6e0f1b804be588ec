"""What the bits of a training depend on besides its network, data and config: where it runs."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import foveal
from foveal.text import printable
from foveal.training.distributed import World


def environment(world: World) -> dict[str, str | int]:
    """Versions, threads, device, processor and number of processes; the same all over, the same bits come out."""
    gpu = world.device.type == "cuda"
    return {
        "Foveal": foveal.__version__,
        "PyTorch": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(world.device) if gpu else "cpu",
        "processor": f"{_processor()}, {torch.backends.cpu.get_cpu_capability()}",
        "processes": world.size,
    }


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What is not as it was, a few words each: ``"threads 2, now 4"``."""
    return [
        f"{name} {printable(str(then.get(name, 'unknown')))}, now {value}"
        for name, value in now.items()
        if then.get(name) != value
    ]


def _processor() -> str:
    """The processor's name; of those of one kind the kernels are the same."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
