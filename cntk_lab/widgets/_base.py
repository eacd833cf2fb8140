"""What all widgets share: one bundle of browser code per notebook, requests from the browser, a static fallback.

A widget's own state holds a loader of a few lines and a reference to the bundle's model, so that ten widgets in a
notebook cost one bundle. Nothing here knows what a widget shows.

Idea: anywidget's ESM per widget, with the module shared through a widget model of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import anywidget
import traitlets
from ipywidgets import widget_serialization

from cntk_lab._words import told, traced
from cntk_lab.errors import LabError, NotAvailableError
from cntk_lab.widgets import _messages as messages
from cntk_lab.widgets import _saved

_log = logging.getLogger("cntk_lab.widgets")
STATIC: Final = Path(__file__).parent / "static"

_LOADER: Final = """
const cache = (globalThis.__cntkLabBundles ??= new Map());
async function load(model) {
  const reference = model.get('_bundle');
  const bundle = typeof reference === 'string'
    ? await model.widget_manager.get_model(reference.slice('IPY_MODEL_'.length)) : reference;
  const key = bundle.get('key');
  if (!cache.has(key)) cache.set(key, (async () => {
    const url = URL.createObjectURL(new Blob([bundle.get('source')], { type: 'text/javascript' }));
    try { return (await import(url)).default; } finally { URL.revokeObjectURL(url); }
  })());
  return cache.get(key);
}
export default { async render(context) { return (await load(context.model)).render(context); } };
"""


class Bundle(anywidget.AnyWidget):
    """The browser code of one kind of widget, sent once to a notebook."""

    _esm = "export default {}"
    key = traitlets.Unicode().tag(sync=True)
    source = traitlets.Unicode().tag(sync=True)


@functools.cache
def bundle(name: str) -> Bundle:
    """The bundle of this name, the same object on every call.

    Args:
        name: of a file in ``widgets/static``, without ``.js``.

    Raises:
        NotAvailableError: if the front end was not built.
    """
    path = STATIC / f"{name}.js"
    if not path.is_file():
        raise NotAvailableError(
            f"the notebook front end is not built: {path.name} is missing",
            fix="install the package (pip install -e .), or run npm install && npm run build in extension/",
        )
    source = path.read_text("utf-8")
    return Bundle(source=source, key=f"{name}-{hashlib.sha256(source.encode()).hexdigest()[:12]}")


class LabWidget(anywidget.AnyWidget):
    """A widget of CNTK Lab: a shared bundle, answered requests, and static forms beside the live one."""

    _esm = _LOADER
    _bundle = traitlets.Instance(Bundle).tag(sync=True, **widget_serialization)
    bundle_name: str = ""
    saved_seconds: float = 1.0
    """From a change until what the notebook keeps follows it; longer where drawing that takes long."""
    _display = ""
    _loop: asyncio.AbstractEventLoop | None = None
    _stale = False
    _cost = 0.0

    @traitlets.default("_bundle")
    def _shared_bundle(self) -> Bundle:
        return bundle(self.bundle_name)

    def __init__(self, **state: Any) -> None:
        super().__init__(**state)
        self.on_msg(self._handle_request)
        self.observe(self._changed, self._kept_names())

    def answer(self, request: messages.Request) -> messages.Reply:
        """The reply to a request of the browser; subclasses say which they know."""
        return messages.Failed("failed", f"this widget does not know how to {request.kind}")

    def static_forms(self) -> dict[str, Any]:
        """The same output for places without a kernel: mime type -> content."""
        return {}

    def saved_state(self) -> dict[str, Any]:
        """What of the synced state a notebook keeps."""
        return {name: getattr(self, name) for name in self._kept_names()}

    def _kept_names(self) -> list[str]:
        """The widget's own state: not that of all widgets, nor what loads its front end."""
        return [name for name in self.trait_names(sync=True) if name not in _OF_ALL and not name.startswith("_")]

    def saved_messages(self) -> list[tuple[Any, bytes]]:
        """The messages that the browser asks for when it shows all: content and bytes."""
        return []

    def saved_pages(self) -> list[Any]:
        """Earlier contents that can be paged through, the latest last."""
        return []

    def saved_view(self) -> dict[str, Any]:
        """The view that a notebook keeps, interactive without a kernel."""
        return _saved.view(self.bundle_name, self.saved_state(), self.saved_messages(), self.saved_pages())

    def _ipython_display_(self) -> None:
        """Show the widget; what the notebook keeps of it follows its changes from now on."""
        from IPython.display import display

        with contextlib.suppress(RuntimeError):  # without a loop nobody keeps what is displayed
            self._loop = asyncio.get_running_loop()

        data, metadata = self._repr_mimebundle_()
        handle = display(data, metadata=metadata, raw=True, display_id=True)
        self._display = handle.display_id if handle is not None else ""

    def refresh_saved(self) -> None:
        """Put picture and data of now beside the live view, where the notebook keeps them."""
        self._stale = False
        if not self._display or self.comm is None:
            return
        from IPython.display import update_display

        started = time.perf_counter()
        data, metadata = self._repr_mimebundle_()
        update_display(data, metadata=metadata, raw=True, display_id=self._display)
        self._cost = time.perf_counter() - started

    def _changed(self, _change: object) -> None:
        """Refresh what the notebook keeps, soon and once, between cells: then nobody is at work on the widget."""
        loop = self._loop
        if loop is None or self._stale or not self._display:
            return
        self._stale = True
        wait = max(self.saved_seconds, _SHARE * self._cost)
        with contextlib.suppress(RuntimeError):  # the kernel has ended
            loop.call_soon_threadsafe(loop.call_later, wait, self._refresh_stale)

    def _refresh_stale(self) -> None:
        with self.answering():
            if self._stale:
                self.refresh_saved()

    def _handle_request(self, _widget: object, content: Any, _buffers: object) -> None:
        """Answer whatever came from the browser: it waits for a reply, also where something unforeseen is raised."""
        with self.answering(messages.number_of(content)):
            number, request = messages.read_request(content)
            self.send(messages.envelope(number, self.answer(request)))

    @contextlib.contextmanager
    def answering(self, number: int | None = None) -> Iterator[None]:
        """A block that works for the browser: what it raises is told there, and what was not foreseen is logged.

        Args:
            number: of the request that is answered; None where none waits.
        """
        try:
            yield
        except BaseException as error:
            if not isinstance(error, LabError):
                _log.error("%s, asked by the browser:\n%s", type(self).__name__, traced(error))
            if number is not None:
                self.send(messages.envelope(number, messages.Failed("failed", told(error))))
            if not isinstance(error, Exception):  # an interrupt is the kernel's
                raise

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        # a dictionary, None, or (from ipywidgets' older bases) a pair with metadata
        result: Any = super()._repr_mimebundle_(**options)
        data, metadata = result if isinstance(result, tuple) else (result or {}, {})
        return {**data, **self.static_forms(), _saved.MIME: self.saved_view()}, metadata


_OF_ALL: Final = frozenset(LabWidget.class_trait_names(sync=True))
_SHARE: Final = 50
"""Refreshing takes at most one part in so many of the time."""


class Throttle:
    """Passes values on at most every ``interval`` seconds; the latest value always arrives.

    Args:
        send: what takes the values.
        interval: shortest time between two of them, in seconds.
        clock: seconds that only grow.
    """

    def __init__(
        self, send: Callable[[Any], None], interval: float = 0.1, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._send, self._interval, self._clock = send, interval, clock
        self._lock = threading.Lock()
        self._last = -float("inf")
        self._timer: threading.Timer | None = None
        self._waiting: list[Any] = []

    def put(self, value: Any) -> None:
        """Pass a value on now, or as soon as the interval is over unless a later one replaces it."""
        with self._lock:
            wait = self._last + self._interval - self._clock()
            if wait > 0:
                self._waiting = [value]
                if self._timer is None:
                    self._timer = threading.Timer(wait, self.flush)
                    self._timer.daemon = True
                    self._timer.start()
                return
            self._last = self._clock()
            self._waiting = []
        self._send(value)

    def flush(self) -> None:
        """Pass on what waits, at once."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            waiting, self._waiting = self._waiting, []
            if waiting:
                self._last = self._clock()
        for value in waiting:
            self._send(value)
