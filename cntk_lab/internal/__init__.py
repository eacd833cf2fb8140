"""Helpers of CNTK's internals that old programs import (a door)."""

from __future__ import annotations

from typing import Any

from cntk_lab.axis import Axis
from cntk_lab.internal import sanitize, swig_helper, utils
from cntk_lab.internal.sanitize import *  # noqa: F403
from cntk_lab.internal.sanitize import _as_tuple
from cntk_lab.internal.swig_helper import map_if_possible, typemap

__all__ = ["Axis", "_as_tuple", "map_if_possible", "sanitize", "swig_helper", "typemap", "utils"]
__all__ += sanitize.__all__


def _value_as_sequence(val: Any, var: Any) -> Any:
    """The frames of a Value of a sequence variable, one array for each sequence; anything else as it is."""
    return val.as_sequences(var) if hasattr(val, "as_sequences") else val


def _value_as_sequence_or_array(val: Any, var: Any) -> Any:
    """A Value as a list of arrays if the variable is a sequence, else as one array."""
    if not hasattr(val, "as_sequences"):
        return val
    return val.as_sequences(var) if var.has_sequence_axis() else val.asarray()
