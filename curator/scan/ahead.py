"""Making what comes next while what came last is in use: one thread, and the same items in the same order.

A pool of decoding threads would fill one card from one process; processes do that here, which share no interpreter lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
_ROOM = 2  # items that are finished or in hand beside the one in use: more would hide more of what differs in length, and hold more memory


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The items, each made while those before it are in use. What making one raises is raised in its place."""
    thread, end = ThreadPoolExecutor(1), object()
    try:
        waiting = deque(thread.submit(next, items, end) for _ in range(_ROOM))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(thread.submit(next, items, end))
            yield item  # type: ignore[misc]
            del item
    finally:  # also where whoever asks has given up: what is being made is waited for, so that the thread never outlives its unit
        thread.shutdown(cancel_futures=True)
