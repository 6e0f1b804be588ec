"""Each in a process of its own: an allocator that earlier tests left memory to does not ask the system for more."""

from __future__ import annotations

import ctypes
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from foveal.training.allocating import kept_memory
from small_training import started


def faults() -> int:
    """Pages that the system made for ten pairs of tensors, freed one after the other."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        pair = torch.ones(3_000_000), torch.ones(9_000_000)
        del pair
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def kept_and_given_back() -> None:
    before = faults()
    assert before > 100  # 90,000 of 4 KiB; where the system gives large pages, few
    with pytest.raises(KeyboardInterrupt), kept_memory():
        faults()
        assert faults() < before / 5
        held = resident()
        raise KeyboardInterrupt
    assert held - resident() > 40_000_000
    assert faults() > before / 2


def another_allocator() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ctypes, "CDLL", lambda name: object())
        before = faults()
        with kept_memory():
            assert faults() > before / 2


@pytest.mark.parametrize("check", [kept_and_given_back, another_allocator])
def test_freed_memory(check: Callable[[], None]) -> None:
    process = started(check)
    process.join()
    assert process.exitcode == 0
