"""Reading ahead: a thread makes the next minibatches while the current one is used.

The thread runs a function from a place to some results, each with the place after it; since that function changes
nothing, work that turns out not to be wanted is simply dropped. Threads change hands once for several small results:
each change costs as much as making one. Knows no data.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Final, Generic, TypeVar

Result = TypeVar("Result")
Where = TypeVar("Where")
Request = TypeVar("Request")

MOST: Final = 32
"""Results made at a time, at most."""


class Ahead(Generic[Result, Where, Request]):
    """Results in order, made in a thread before they are asked for.

    Args:
        make: (place, request, how many at most) -> at least one (result, place after it, or None at the end).
        depth: how many times the thread is ahead; 0: not at all, everything happens when asked.

    Example:
        >>> ahead = Ahead(lambda place, step, most: [(place * 10, place + step)], depth=2)
        >>> ahead.get(1, 1), ahead.get(2, 1), ahead.get(2, 5)
        ((10, 2), (20, 3), (20, 7))
    """

    def __init__(
        self, make: Callable[[Where, Request, int], list[tuple[Result, Where | None]]], depth: int = 2
    ) -> None:
        self._make, self._depth = make, depth
        self._ready: deque[tuple[Result, Where | None]] = deque()
        self._queue: deque[Future[list[tuple[Result, Where | None]]]] = deque()
        self._at: tuple[Where | None, Request | None] = (None, None)
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    def get(self, place: Where, request: Request) -> tuple[Result, Where | None]:
        """The result at a place, and the place after it."""
        if self._depth == 0:
            return self._make(place, request, 1)[0]
        if self._at != (place, request):
            self.clear()
        if not self._ready and self._queue:
            self._ready.extend(self._queue.popleft().result())
        if not self._ready:
            with self._lock:
                self._ready.extend(self._make(place, request, 1))
        found = self._ready.popleft()
        self._at = (found[1], request)
        last = self._ready[-1][1] if self._ready else found[1]
        if found[1] is None:
            self.clear()
        while last is not None and len(self._queue) < self._depth:
            self._queue.append(self._submit(last, request))
        return found

    def _submit(self, place: Where, request: Request) -> Future[list[tuple[Result, Where | None]]]:
        """Make the results after the last one that is being made (or at ``place``, if there is none)."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="cntk-lab-reader")
            weakref.finalize(self, self._pool.shutdown, wait=False, cancel_futures=True)
        make, lock, before = self._make, self._lock, self._queue[-1] if self._queue else None

        def run() -> list[tuple[Result, Where | None]]:
            start: Where | None = place
            if before is not None:
                earlier = before.result()
                start = earlier[-1][1] if earlier else None
            if start is None:
                return []
            with lock:
                return make(start, request, MOST)

        return self._pool.submit(run)

    def clear(self) -> None:
        """Forget what was made ahead (waits for what is being made)."""
        self._ready.clear()
        queue, self._queue = self._queue, deque()
        for future in reversed(queue):
            future.cancel()
        for future in queue:
            with contextlib.suppress(CancelledError, Exception):
                future.result()
