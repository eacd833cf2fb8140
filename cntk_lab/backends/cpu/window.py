"""Geometry of a window that slides over images: what convolutions and poolings share. Knows no library."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Window:
    """Geometry of a convolution or pooling over n spatial axes; every tuple has n entries."""

    source: tuple[int, ...]
    """(batch, channels, spatial...)."""
    kernel: tuple[int, ...]
    """Spatial size of the window."""
    strides: tuple[int, ...]
    lower: tuple[int, ...]
    """Padding before the first element."""
    upper: tuple[int, ...]
    """Padding behind the last element."""
    dilation: tuple[int, ...] = ()
    groups: int = 1
    maps: int = 0
    """Output channels (convolution)."""

    def target(self) -> tuple[int, ...]:
        """Shape of the result (batch, channels, spatial...)."""
        dilation = self.dilation or (1,) * len(self.kernel)
        spatial = [
            (n + lo + up - (k - 1) * d - 1) // s + 1
            for n, lo, up, k, d, s in zip(
                self.source[2:], self.lower, self.upper, self.kernel, dilation, self.strides, strict=True
            )
        ]
        return (self.source[0], self.maps or self.source[1], *spatial)

    def weights(self) -> tuple[int, ...]:
        """Shape of the weights: (maps, channels / groups, window...)."""
        return (self.maps, self.source[1] // self.groups, *self.kernel)

    def grouped_weights(self) -> tuple[int, ...]:
        """The same memory as oneDNN sees it: (groups, maps / groups, channels / groups, window...) if there are
        groups.
        """
        maps, *rest = self.weights()
        return (maps, *rest) if self.groups == 1 else (self.groups, maps // self.groups, *rest)

    def numbers(self) -> list[Any]:
        """Strides, dilation - 1, padding on both sides: as the C interface wants them."""
        dilation = [d - 1 for d in self.dilation or (1,) * len(self.kernel)]
        return [longs(self.strides), longs(dilation), longs(self.lower), longs(self.upper)]


def longs(values: Sequence[int]) -> ctypes.Array[ctypes.c_int64]:
    """The numbers as the C interface takes them."""
    return (ctypes.c_int64 * len(values))(*values)
