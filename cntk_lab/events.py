"""What happens during a run, told upwards: frozen event dataclasses and the bus that carries them.

Events hold plain numbers, texts and uids only. Listeners (progress printers, the profiler, widgets) subscribe; a lower
layer never names a listener. An event that nobody listens to costs one dictionary look-up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from cntk_lab import _changes
from cntk_lab._turn import new_lock


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events."""


@dataclass(frozen=True, slots=True)
class StepFinished(Event):
    """One training minibatch was done. ``loss`` and ``metric`` are sums over its ``samples``; ``seconds`` is its
    duration.
    """

    trainer: int
    step: int
    samples: int
    loss: float
    metric: float
    seconds: float


@dataclass(frozen=True, slots=True)
class RunChanged(Event):
    """A run went on, or changed its status (``running paused stopped finished failed``): told a few times a second."""

    run: int
    status: str
    step: int


@dataclass(frozen=True, slots=True)
class PlanCompiled(Event):
    """A plan was made: its number, what it computes, how many steps it has, how long planning took (s)."""

    plan: int
    title: str
    steps: int
    seconds: float


@dataclass(frozen=True, slots=True)
class StepTimed(Event):
    """The profiler's time for one step of a plan (s), with the uids of the nodes it computes."""

    plan: int
    step: int
    nodes: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class NodesMeasured(Event):
    """A run measured its nodes on one minibatch: ``what`` ("time", "activation", "gradient", "dead units", "not
    finite"), the unit, and (uid, number) of each node or parameter. Told only while somebody listens.
    """

    run: int
    step: int
    what: str
    unit: str
    values: tuple[tuple[str, float], ...]


E = TypeVar("E", bound=Event)


class EventBus:
    """Carries events to listeners by type. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = new_lock()
        self._listeners: dict[type[Event], tuple[Callable[[Event], None], ...]] = {}

    def subscribe(self, kind: type[E], listener: Callable[[E], None]) -> Callable[[], None]:
        """Call ``listener`` for each event of type ``kind``; returns the function that ends this."""
        call: Callable[[Event], None] = listener  # type: ignore[assignment]
        with self._lock:
            self._listeners[kind] = (*self._listeners.get(kind, ()), call)
        _changes.note()

        def unsubscribe() -> None:
            with self._lock:
                self._listeners[kind] = tuple(f for f in self._listeners.get(kind, ()) if f is not call)
            _changes.note()

        return unsubscribe

    def heard(self, kind: type[Event]) -> bool:
        """Whether anybody listens to this type: ask before building a costly event."""
        return bool(self._listeners.get(kind))

    def publish(self, event: Event) -> None:
        """Tell all listeners of the event's type, in the order of their subscription."""
        for listener in self._listeners.get(type(event), ()):
            listener(event)


BUS = EventBus()
"""The bus of this process."""
