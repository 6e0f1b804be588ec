from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest

from foveal.parallel import in_order


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 4, 5, 23])
def test_results_come_in_order_whatever_finishes_first(count: int, threads: int) -> None:
    def work(part: Sequence[int]) -> list[int]:
        time.sleep(0.003 * (part[0] % 3))
        return [-x for x in part]

    items = list(range(count))
    parts = list(in_order(work, items, batch=4, threads=threads))
    assert [x for part in parts for x in part] == [-x for x in items]
    assert [len(part) for part in parts] == [4] * (count // 4) + ([count % 4] if count % 4 else [])


def test_batches_run_at_once() -> None:
    meet = threading.Barrier(3, timeout=10)
    assert list(in_order(lambda part: meet.wait() >= 0, range(3), batch=1, threads=3)) == [True] * 3


def test_few_batches_are_ahead_of_the_reader() -> None:
    begun = []

    def work(part: Sequence[int]) -> int:
        begun.append(part[0])
        return part[0]

    ahead = []
    for result in in_order(work, range(100), batch=1, threads=2):
        time.sleep(0.001)
        ahead.append(len(begun) - result)
    assert max(ahead) <= 5  # this one and twice the threads


def test_an_error_comes_at_its_place_and_ends_the_work() -> None:
    done = []

    def work(part: Sequence[int]) -> int:
        if part[0] == 3:
            raise ValueError("third")
        done.append(part[0])
        return part[0]

    results = in_order(work, range(1000), batch=1, threads=2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="third"):
        next(results)
    assert len(done) < 20
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("foveal")]


def test_leaving_early_waits_for_what_runs_and_drops_the_rest() -> None:
    begun, ended = [], []

    def work(part: Sequence[int]) -> int:
        begun.append(part[0])
        time.sleep(0.05 * min(part[0], 1))
        ended.append(part[0])
        return part[0]

    results = in_order(work, range(1000), batch=1, threads=3)
    next(results)
    results.close()  # type: ignore[attr-defined]  # a generator
    assert begun and sorted(begun) == sorted(ended)
    assert max(begun) <= 3  # of the six that were handed out
