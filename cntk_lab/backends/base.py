"""Backend: what the engine asks of a device, whichever it is.

Arrays are NumPy's or CuPy's; the engine's steps call ``xp`` for whole-array rules and :meth:`Backend.kernel` for
formulas. A faster version of a single operator is an *override*, found by the operator's name; the contract tests
compare it with the operator's own rule. Knows no operator, no graph and no plan.

Idea: Thinc's ``Ops`` object per device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from cntk_lab.device import DeviceDescriptor
from cntk_lab.formula.kernel import Kernel
from cntk_lab.tensor.arrays import HostArray
from cntk_lab.tensor.shape import Shape

KernelFunction = Callable[..., tuple[Any, ...]]
"""``function(xp, *inputs, rows=None) -> outputs``: arrays (rows or 1) x static shape, in the order of the kernel."""

Rule = TypeVar("Rule", bound=Callable[..., Any])


class Backend(Protocol):
    """One device that computes."""

    name: str
    """``cpu`` or ``cuda``."""
    device: DeviceDescriptor
    xp: Any
    """Module whose arrays live on the device: numpy or cupy."""

    def allocate(self, shape: Shape, dtype: str) -> Any:
        """A new array with undefined elements on the device."""

    def to_device(self, array: Any) -> Any:
        """The array on the device (itself if it is there)."""

    def to_host(self, array: Any) -> HostArray:
        """The array in host memory (itself if it is there)."""

    def kernel(self, kernel: Kernel) -> KernelFunction:
        """A function that computes the formulas of a kernel; compiled once for equal kernels."""

    def override(self, op_name: str) -> Callable[..., Any] | None:
        """This device's own version of an operator's forward rule, or None."""

    def synchronize(self) -> None:
        """Return when everything that was started on the device is done."""


class Overrides:
    """Faster versions of single operators on one backend, by operator name.

    Example:
        >>> overrides = Overrides()
        >>> @overrides.register("negate")
        ... def negate(xp, x):
        ...     return xp.negative(x)
        >>> overrides.find("negate") is negate, overrides.find("plus")
        (True, None)
    """

    def __init__(self) -> None:
        self._by_name: dict[str, Callable[..., Any]] = {}

    def register(self, op_name: str) -> Callable[[Rule], Rule]:
        """Decorator: this function stands for the forward rule of the operator ``op_name``.

        Raises:
            ValueError: if the operator has one already.
        """
        if op_name in self._by_name:
            raise ValueError(f"operator {op_name!r} has an override already: {self._by_name[op_name]!r}")

        def keep(rule: Rule) -> Rule:
            self._by_name[op_name] = rule
            return rule

        return keep

    def find(self, op_name: str) -> Callable[..., Any] | None:
        """The override of an operator, or None."""
        return self._by_name.get(op_name)

    def names(self) -> tuple[str, ...]:
        """The operators that have an override."""
        return tuple(self._by_name)
