from __future__ import annotations

import ctypes
import resource
from pathlib import Path

import pytest
import torch

from foveal.training.allocating import kept_memory


def faults() -> int:
    """Pages that the system made for ten pairs of tensors, freed one after the other."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        pair = torch.ones(3_000_000), torch.ones(9_000_000)
        del pair
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_freed_memory_is_used_again_and_given_back_at_the_end() -> None:
    before = faults()  # 120,000, but for what other tests left the allocator
    assert before > 3_000
    with pytest.raises(KeyboardInterrupt), kept_memory():
        faults()
        assert faults() < before / 5
        held = resident()
        raise KeyboardInterrupt
    assert held - resident() > 40_000_000
    assert faults() > 3_000


def test_another_allocator_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    with kept_memory():
        assert faults() > 3_000
