from __future__ import annotations

import os
import platform
from pathlib import Path

import numpy as np
import pytest

from foveal import machine


def v2(root: Path, text: str) -> None:
    (root / "cpu.max").write_text(text)


def v1(root: Path, quota: str, period: str) -> None:
    (root / "cpu").mkdir()
    (root / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (root / "cpu" / "cpu.cfs_period_us").write_text(period)


@pytest.mark.parametrize(
    ("text", "quota"),
    [
        ("200000 100000\n", 2.0),
        ("150000 100000\n", 1.5),
        ("max 100000\n", None),
        ("", None),
        ("100000", None),
        ("-1 100000", None),
        ("100000 0", None),
        ("many 100000", None),
        ("\udcff".encode("utf-8", "surrogateescape").decode("latin-1"), None),
    ],
)
def test_quota_of_cgroup_v2(tmp_path: Path, text: str, quota: float | None) -> None:
    v2(tmp_path, text)
    assert machine._cgroup_quota(tmp_path) == quota


@pytest.mark.parametrize(
    ("quota", "expected"), [("250000\n", 2.5), ("-1\n", None), ("0\n", None), ("", None), ("x", None)]
)
def test_quota_of_cgroup_v1(tmp_path: Path, quota: str, expected: float | None) -> None:
    v1(tmp_path, quota, "100000\n")
    assert machine._cgroup_quota(tmp_path) == expected


def test_no_control_groups_no_limit(tmp_path: Path) -> None:
    assert machine._cgroup_quota(tmp_path) is None
    assert machine._cgroup_quota(tmp_path / "absent") is None


@pytest.mark.parametrize(
    ("quota", "allowed", "threads"),
    [(None, 8, 8), (1.5, 8, 2), (0.1, 8, 1), (3.0, 8, 3), (64.0, 8, 8), (2.0, 1, 1)],
)
def test_threads_are_what_both_limits_leave(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, allowed: int, threads: int
) -> None:
    monkeypatch.setattr(machine, "_cgroup_quota", lambda root: quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(allowed)), raising=False)
    assert machine.cpu_threads() == threads


def test_versions_of_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = machine.versions()
    assert found["python"] == platform.python_version()
    assert found["numpy"] == np.__version__
    assert {"foveal", "openvino", "pillow", "safetensors", "torch"} <= found.keys()

    def absent(package: str) -> str:
        raise machine.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(machine.metadata, "version", absent)
    assert machine.versions().keys() == {"python"}
