"""Progress of training, and what is told about it, under CNTK's names (a door)."""

from cntk_lab.logging._trace import TraceLevel, get_trace_level, set_trace_level
from cntk_lab.logging.progress_print import ProgressPrinter, TrainingSummaryProgressCallback, log_number_of_parameters

__all__ = [
    "ProgressPrinter",
    "TraceLevel",
    "TrainingSummaryProgressCallback",
    "get_trace_level",
    "log_number_of_parameters",
    "set_trace_level",
]
