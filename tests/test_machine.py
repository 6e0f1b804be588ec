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


def memory_group(folder: Path, limit: str, used: int, files: int, *, v1: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if v1 else ("memory.max", "memory.current")
    for name, value in zip(names, (limit, used), strict=True):
        (folder / name).write_text(f"{value}\n")
    kind = "total_inactive_file" if v1 else "inactive_file"
    (folder / "memory.stat").write_text(f"anon 5\n{kind} {files}\n")


def test_memory_left_by_the_control_groups_around(tmp_path: Path) -> None:
    member, root = tmp_path / "cgroup", tmp_path / "groups"
    member.write_text("0::/user.slice/job.scope\n")
    memory_group(root / "user.slice", "1000", 400, 100)
    memory_group(root / "user.slice" / "job.scope", "max", 400, 100)
    assert list(machine._cgroup_memory(member, root)) == [700]
    memory_group(root / "user.slice" / "job.scope", "650", 400, 100)
    assert list(machine._cgroup_memory(member, root)) == [350, 700]
    member.write_text("0::/the/hosts/own/path\n")  # in a container, whose limit is at the root
    memory_group(root, "500", 450, 0)
    assert list(machine._cgroup_memory(member, root)) == [50]
    member.write_text("5:cpu:/\n4:memory:/job\n0::/elsewhere\n")
    (root / "memory.max").unlink()
    memory_group(root / "memory" / "job", "1000", 400, 50, v1=True)
    assert list(machine._cgroup_memory(member, root)) == [650]
    assert not list(machine._cgroup_memory(tmp_path / "absent", root))


def test_memory_the_kernel_has(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 16 kB\nMemFree: 1 kB\nMemAvailable:   3 kB\n")
    assert list(machine._kernel_memory(meminfo)) == [3072]
    meminfo.write_text("MemTotal: 16 kB\nMemAvailable:\n")
    assert not list(machine._kernel_memory(meminfo))
    assert not list(machine._kernel_memory(tmp_path / "absent"))


def test_available_memory_is_the_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_kernel_memory", lambda path: iter([5000]))
    for groups, expected in (([], 5000), ([700, 900], 700), ([-3], 0)):
        monkeypatch.setattr(machine, "_cgroup_memory", lambda *paths, groups=groups: iter(groups))
        assert machine.available_memory() == expected
    monkeypatch.setattr(machine, "_kernel_memory", lambda path: iter([]))
    monkeypatch.setattr(machine, "_cgroup_memory", lambda *paths: iter([]))
    assert machine.available_memory() is None
