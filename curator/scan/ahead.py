"""Making what comes next, and putting away what came last, while an item is in use: a thread each, and the same items in the same order.

A pool of decoding threads would fill one card from one process; processes do that here, which share no interpreter lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
_ROOM = 2  # items that are finished or in hand beside the one in use: more would hide more of what differs in length, and hold more memory


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The items: the first ones are made from now on, each other one while those before it are in use.

    What making one raises is raised in its place.
    """
    thread, end = ThreadPoolExecutor(1), object()
    waiting = deque(thread.submit(next, items, end) for _ in range(_ROOM))

    def in_turn() -> Iterator[T]:
        try:
            while (item := waiting.popleft().result()) is not end:
                waiting.append(thread.submit(next, items, end))
                yield item  # type: ignore[misc]
                del item
        finally:  # also where whoever asks has given up: what is being made is waited for, so that the thread never outlives its unit
            thread.shutdown(cancel_futures=True)

    return in_turn()


def behind(items: Iterator[T], put_away: Callable[[T], None]) -> None:
    """Puts each item away while those after it are made. What putting one away raises is raised."""
    thread, waiting = ThreadPoolExecutor(1), deque[Future[None]]()
    try:
        for item in items:
            waiting.append(thread.submit(put_away, item))
            if len(waiting) > _ROOM:
                waiting.popleft().result()
        while waiting:
            waiting.popleft().result()
    finally:
        thread.shutdown(cancel_futures=True)
