"""Work on batches in threads, results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


def in_order(work: Callable[[Sequence[In]], Out], items: Sequence[In], *, batch: int, threads: int) -> Iterator[Out]:
    """Results of `work` on batches of `items`, in order, with few batches ahead so that memory stays small.

    Leaving the iteration early (an error, Ctrl-C) drops the batches not yet begun and waits for the rest.
    """
    batches = (items[i : i + batch] for i in range(0, len(items), batch))
    executor = ThreadPoolExecutor(threads, thread_name_prefix="foveal")
    try:
        ahead: deque[Future[Out]] = deque(executor.submit(work, part) for part in islice(batches, 2 * threads))
        while ahead:
            yield ahead.popleft().result()
            ahead.extend(executor.submit(work, part) for part in islice(batches, 1))
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
