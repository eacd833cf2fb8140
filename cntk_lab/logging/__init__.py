"""Progress of training, and what is told about it, under CNTK's names (a door)."""

from cntk_lab.logging import graph
from cntk_lab.logging._tensorboard import TensorBoardProgressWriter
from cntk_lab.logging._trace import TraceLevel, get_trace_level, set_trace_level
from cntk_lab.logging.graph import (
    depth_first_search,
    find_all_with_name,
    find_by_name,
    find_by_uid,
    get_node_outputs,
    plot,
)
from cntk_lab.logging.progress_print import ProgressPrinter, TrainingSummaryProgressCallback, log_number_of_parameters

__all__ = [
    "ProgressPrinter", "TensorBoardProgressWriter", "TraceLevel", "TrainingSummaryProgressCallback",
    "depth_first_search", "find_all_with_name", "find_by_name", "find_by_uid", "get_node_outputs", "get_trace_level",
    "graph", "log_number_of_parameters", "plot", "set_trace_level",
]  # fmt: skip
