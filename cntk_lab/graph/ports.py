"""Sockets that upper layers fill: executing a function, training it, saving it, showing it.

A Function offers ``eval``, ``save``, ``train`` and a rich display, but the graph knows neither engine, files nor
widgets. The package fills these sockets once when it is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from cntk_lab.errors import NotAvailableError


class Executor(Protocol):
    """What the engine does for a Function."""

    def forward(
        self, function: Any, arguments: Any, outputs: Any, keep_for_backward: Any, device: Any, as_numpy: bool
    ) -> Any:
        """Values of outputs, and a state for backward."""

    def backward(self, state: Any, root_gradients: Any, variables: Any, as_numpy: bool) -> Any:
        """Gradients of variables."""

    def evaluate(self, function: Any, arguments: Any, outputs: Any, device: Any, as_numpy: bool) -> Any:
        """Values of outputs in user form."""

    def gradient(
        self, function: Any, at: Any, wrt: Any, outputs: Any, device: Any, as_numpy: bool, grad_root: Any
    ) -> Any:
        """Gradients in user form."""


_sockets: dict[str, Any] = {}
_later: dict[str, Callable[[], Any]] = {}


def plug(name: str, implementation: Any) -> None:
    """Fill a socket."""
    _sockets[name] = implementation


def plug_later(name: str, make: Callable[[], Any]) -> None:
    """Fill a socket when it is first used: what ``make`` imports then costs nothing at import."""
    _later[name] = make


def use(name: str) -> Any:
    """What fills a socket.

    Raises:
        NotAvailableError: if nothing does, which means that the package was not imported as a whole.
    """
    if name not in _sockets:
        if name not in _later:
            raise NotAvailableError(
                f"nothing is plugged in for {name!r}", fix="import cntk_lab as a whole: import cntk_lab as C"
            )
        _sockets.setdefault(name, _later[name]())  # one for all threads that are the first
    return _sockets[name]
