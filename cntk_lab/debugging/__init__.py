"""Looking into models while they run, under CNTK's names (a door)."""

from cntk_lab.debugging import debug, profiler
from cntk_lab.debugging._checks import check_gradient, nan_watch
from cntk_lab.debugging._dump import dump_function, dump_signature
from cntk_lab.debugging._seed import force_deterministic
from cntk_lab.debugging.debug import (
    DEBUG_USAGE,
    CloneMethod,
    UserFunction,
    debug_model,
    output_variable,
    save_as_legacy_model,
    set_checked_mode,
    set_computation_network_trace_level,
    set_node_timing,
    user_function,
)
from cntk_lab.debugging.profiler import disable_profiler, enable_profiler, start_profiler, stop_profiler

__all__ = [
    "DEBUG_USAGE", "CloneMethod", "UserFunction", "check_gradient", "debug", "debug_model", "disable_profiler",
    "dump_function", "dump_signature", "enable_profiler", "force_deterministic", "nan_watch", "output_variable",
    "profiler", "save_as_legacy_model", "set_checked_mode", "set_computation_network_trace_level", "set_node_timing",
    "start_profiler", "stop_profiler", "user_function",
]  # fmt: skip
