"""Tools that programs of CNTK 2.0 took from ``cntk.utils``: progress printing, evaluating with gradients (a door)."""

from cntk_lab.graph.record import Record
from cntk_lab.graph.variable import Variable
from cntk_lab.internal.sanitize import *  # noqa: F403
from cntk_lab.internal.swig_helper import map_if_possible, typemap
from cntk_lab.internal.utils import (
    _ones_like,
    _to_cntk_dict_value,
    eval,
    get_data_type,
    get_python_function_arguments,
    map_function_arguments,
)
from cntk_lab.logging import ProgressPrinter, log_number_of_parameters

__all__ = [
    "ProgressPrinter", "Record", "Variable", "_ones_like", "_to_cntk_dict_value", "eval", "get_data_type",
    "get_python_function_arguments", "log_number_of_parameters", "map_function_arguments", "map_if_possible", "typemap",
]  # fmt: skip
