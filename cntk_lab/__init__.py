"""CNTK Lab: build, see and train neural networks in a notebook; Microsoft's CNTK brought back to life.

This module is the ``C.*`` namespace and the one place that plugs upper layers into the graph's sockets. What a model
needs is loaded at once; packages above the graph (layers, learners, readers, files, widgets) load when they are first
named.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
package_version = __version__
"""The version of this package; ``__version__`` is the same, unless :mod:`cntk_lab.alias` stands in for ``cntk``."""

from cntk_lab.graph import ports  # isort: skip


def _later(module: str, name: str) -> Callable[..., Any]:
    """A function whose module is loaded when it is first called."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return getattr(importlib.import_module(f"cntk_lab.{module}"), name)(*args, **kwargs)

    return call


from cntk_lab import default_options as _default_options

ports.plug("default_option", _default_options.current_option)
ports.plug("global_option", _default_options.get_global_option)

from cntk_lab import axis, cntk_py, core, device, initializer, internal, ops, variables
from cntk_lab.axis import Axis
from cntk_lab.core import NDArrayView, Value, asarray, asvalue
from cntk_lab.default_options import (
    default_options,
    default_options_for,
    default_override_or,
    get_default_override,
    get_global_option,
    is_default_override,
    set_global_option,
)
from cntk_lab.device import (
    DeviceDescriptor,
    DeviceKind,
    all_devices,
    cpu,
    get_gpu_properties,
    gpu,
    set_excluded_devices,
    try_set_default_device,
    use_default_device,
)
from cntk_lab.initializer import *  # noqa: F403
from cntk_lab.internal import *  # noqa: F403
from cntk_lab.internal.utils import _to_cntk_dict_value, get_data_type
from cntk_lab.ops import *  # noqa: F403
from cntk_lab.ops import functions, sequence
from cntk_lab.ops.functions import CloneMethod, Function, load_model
from cntk_lab.tensor.randomness import AUTO_SEED as SentinelValueForAutoSelectRandomSeed
from cntk_lab.tensor.shape import FREE as FreeDimension
from cntk_lab.tensor.shape import INFERRED as InferredDimension
from cntk_lab.variables import Constant, Parameter, Record, Variable

if TYPE_CHECKING:
    from types import ModuleType

Input = input_variable  # noqa: F405
"""The name of :func:`input_variable` in the introduction to CNTK."""
auto_select = SentinelValueForAutoSelectRandomSeed
PoolingType_Max, PoolingType_Average = cntk_py.PoolingType_Max, cntk_py.PoolingType_Average
cntk_library_path = ""
"""Where CNTK's C++ libraries lay; there are none here."""

for _name in ("default_override_or", "get_default_override", "is_default_override", "default_options_for"):
    # C.default_options is a function in CNTK, and a module whose names clients take from it
    setattr(default_options, _name, getattr(_default_options, _name))

set_num_threads, get_num_threads = (_later("backends.cpu.threads", n) for n in ("set_num_threads", "get_num_threads"))
ports.plug_later("executor", lambda: importlib.import_module("cntk_lab.engine.ask.executor").Executor())
ports.plug("train", _later("train", "train_function"))
ports.plug("test", _later("train", "test_function"))
ports.plug("save", _later("formats", "save"))
ports.plug("load", _later("formats", "load"))
ports.plug("restore", _later("formats", "restore"))
ports.plug("write_checkpoint", _later("formats.cntk.trainer_state", "write_checkpoint"))
ports.plug("read_checkpoint", _later("formats.cntk.trainer_state", "read_checkpoint"))
ports.plug("attributes", _later("formats.cntk.attributes", "shown"))
ports.plug("model_format", lambda: importlib.import_module("cntk_lab.formats").ModelFormat)
ports.plug("print_node_timing", _later("debugging.profiler", "print_node_timing"))
ports.plug("picture", _later("widgets._picture", "write_picture"))
ports.plug("display", _later("widgets.of_function", "mimebundle"))

_MODULES = {
    "debugging": "debugging", "distributed": "train.distributed", "eval": "eval", "evaluator": "eval.evaluator",
    "io": "io", "layers": "layers", "learners": "learners", "logging": "logging", "losses": "losses",
    "metrics": "metrics", "misc": "misc", "random": "random", "train": "train", "trainer": "train.trainer",
    "utils": "utils", "datasets": "datasets", "widgets": "widgets", "events": "events", "settings": "settings",
    "formats": "formats", "errors": "errors", "contrib": "contrib", "sample_installer": "sample_installer",
    "tests": "tests",
}  # fmt: skip
"""Names of modules in this namespace -> where they are."""

_NAMES = {
    "learners": (
        "IGNORE Learner UnitType UserLearner adadelta adagrad adam default_unit_gain_value fsadagrad "
        "learning_parameter_schedule learning_parameter_schedule_per_sample learning_rate_schedule "
        "momentum_as_time_constant_schedule momentum_schedule momentum_schedule_per_sample momentum_sgd nesterov "
        "rmsprop set_default_unit_gain_value sgd training_parameter_schedule universal"
    ),
    "train": (
        "CheckpointConfig Communicator CrossValidationConfig DataUnit DistributedLearner TestConfig Trainer "
        "TrainingSession WorkerDescriptor block_momentum_distributed_learner data_parallel_distributed_learner "
        "minibatch_size_schedule mpi_communicator training_session"
    ),
    "eval": "Evaluator",
    "io": "INFINITELY_REPEAT FULL_DATA_SWEEP MinibatchData MinibatchSource",
    "formats": "ModelFormat",
    "losses": (
        "binary_cross_entropy cosine_distance cosine_distance_with_negative_samples cross_entropy "
        "cross_entropy_with_softmax fmeasure hierarchical_softmax_layer lambda_rank lattice_sequence_with_softmax "
        "nce_loss squared_error weighted_binary_cross_entropy"
    ),
    "metrics": "classification_error edit_distance_error ndcg_at_1",
    "ops": "UserFunction native_user_function register_native_user_function user_function",
    "widgets": "GraphView GraphComposer TrainingMonitor ReaderPreview",
    "sample_installer": "install_samples",
}
_HOME = {name: module for module, names in _NAMES.items() for name in names.split()}
"""Names in this namespace that load with their package -> the package."""


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value: ModuleType | Any = importlib.import_module(f"cntk_lab.{_MODULES[name]}")
    elif name in _HOME:
        value = getattr(importlib.import_module(f"cntk_lab.{_HOME[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *_HOME})
