"""Reading ahead: a thread makes the next results while the current one is used.

The thread runs a function from a place to a result and the place after it; since that function changes nothing, work
that turns out not to be wanted is simply dropped. Knows no data.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Result = TypeVar("Result")
Where = TypeVar("Where")
Request = TypeVar("Request")


class Ahead(Generic[Result, Where, Request]):
    """Results in order, made in a thread before they are asked for.

    Args:
        make: (place, request) -> (result, place after it, or None at the end).
        depth: how many results the thread is ahead; 0: not at all, everything happens when asked.

    Example:
        >>> ahead = Ahead(lambda place, step: (place * 10, place + step), depth=2)
        >>> ahead.get(1, 1), ahead.get(2, 1), ahead.get(2, 5)
        ((10, 2), (20, 3), (20, 7))
    """

    def __init__(self, make: Callable[[Where, Request], tuple[Result, Where | None]], depth: int = 2) -> None:
        self._make, self._depth = make, depth
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._queue: deque[Future[tuple[Result, Where | None] | None]] = deque()
        self._at: tuple[Where | None, Request | None] = (None, None)
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    def get(self, place: Where, request: Request) -> tuple[Result, Where | None]:
        """The result at a place, and the place after it."""
        if self._depth == 0:
            return self._make(place, request)
        if self._process != os.getpid():  # a forked child has no such thread, and will not see what it made
            self._begin()
        if self._at != (place, request):
            self.clear()
        found = self._queue.popleft().result() if self._queue else None
        if found is None:
            with self._lock:
                found = self._make(place, request)
        self._at = (found[1], request)
        if found[1] is None:
            self.clear()
            return found
        while len(self._queue) < self._depth:
            self._queue.append(self._submit(found[1], request))
        return found

    def _submit(self, place: Where, request: Request) -> Future[tuple[Result, Where | None] | None]:
        """Make the result after the last one that is being made (or at ``place``, if there is none)."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="cntk-lab-reader")
            weakref.finalize(self, self._pool.shutdown, wait=False, cancel_futures=True)
        make, lock, before = self._make, self._lock, self._queue[-1] if self._queue else None

        def run() -> tuple[Result, Where | None] | None:
            start: Where | None = place
            if before is not None:
                earlier = before.result()
                start = earlier[1] if earlier is not None else None
            if start is None:
                return None
            with lock:
                return make(start, request)

        return self._pool.submit(run)

    def clear(self) -> None:
        """Forget what was made ahead (waits for what is being made)."""
        queue, self._queue = self._queue, deque()
        for future in reversed(queue):
            future.cancel()
        for future in queue:
            with contextlib.suppress(CancelledError, Exception):
                future.result()
