"""Names that programs take from CNTK's C++ layer: numbers of enumerations, classes, switches, low-level learners.

Classes and functions stand for those of this package. What CNTK's C++ engine needed to be told and this one does not
(switches of its memory sharing, of its tracing) is accepted and kept, so that programs that set it run; each such
function says so.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from types import FunctionType
from typing import Any

from cntk_lab import settings
from cntk_lab.axis import Axis
from cntk_lab.device import DeviceDescriptor, DeviceKind
from cntk_lab.errors import AttributeValueError
from cntk_lab.graph import variable as variables
from cntk_lab.graph.clone import CloneMethod
from cntk_lab.graph.function import Function, allow_renaming_functions
from cntk_lab.graph.naming import new_uid as generate_uid
from cntk_lab.graph.variable import Constant, Variable
from cntk_lab.internal.utils import Dictionary, DictionaryValue
from cntk_lab.tensor.arrays import NDArrayView
from cntk_lab.tensor.randomness import (
    AUTO_SEED,
    get_random_seed,
    is_random_seed_fixed,
    reset_random_seed,
    set_fixed_random_seed,
)
from cntk_lab.tensor.randomness import next_seed as generate_random_seed
from cntk_lab.tensor.shape import FREE, INFERRED, Shape, as_shape, size
from cntk_lab.tensor.value import Value

__all__ = [
    "AdditionalLearningOptions", "Axis", "Constant", "DeviceDescriptor", "DeviceKind", "Dictionary", "DictionaryValue",
    "Function", "NDArrayView", "NDShape", "Parameter", "SizeTWrapper", "Value", "Variable", "adam_learner",
    "allow_renaming_functions", "always_allow_setting_default_device", "are_equal", "force_deterministic_algorithms",
    "generate_random_seed", "generate_uid", "get_max_num_cputhreads", "get_random_seed",
    "is_native_user_function_registered", "is_random_seed_fixed", "reset_random_seed", "set_checked_mode",
    "set_computation_network_trace_level", "set_fixed_random_seed", "set_max_num_cputhreads",
    "should_force_deterministic_algorithms", "to_dictionary", "universal_learner",
    "use_sparse_gradient_aggregation_in_data_parallel_sgd",
]  # fmt: skip

DataType_Unknown, DataType_Float, DataType_Double, DataType_UChar, DataType_Float16, DataType_Int8, DataType_Int16 = (
    range(7)
)
DataUnit_Sweep, DataUnit_Sample, DataUnit_Minibatch = range(3)
DeviceKind_CPU, DeviceKind_GPU = DeviceKind.CPU, DeviceKind.GPU
MaskKind_Invalid, MaskKind_Valid, MaskKind_SequenceBegin = range(3)
ModelFormat_CNTKv2, ModelFormat_ONNX = range(2)
PaddingMode_CONSTANTPAD, PaddingMode_REFLECTPAD, PaddingMode_SYMMETRICPAD = range(3)
ParameterCloningMethod_Share, ParameterCloningMethod_Clone, ParameterCloningMethod_Freeze = (
    CloneMethod.share, CloneMethod.clone, CloneMethod.freeze,
)  # fmt: skip
PoolingType_Max, PoolingType_Average = range(2)
StorageFormat_Dense, StorageFormat_SparseCSC, StorageFormat_SparseBlockCol = range(3)
TraceLevel_Error, TraceLevel_Warning, TraceLevel_Info = range(3)
VariableKind_Input, VariableKind_Output, VariableKind_Parameter, VariableKind_Constant, VariableKind_Placeholder = (
    range(5)
)
InferredDimension, FreeDimension = INFERRED, FREE
TimesNoInferredInputRank, TimesReduceSequenceAxisWithoutInferredInputRank = -1, -2
default_param_init_output_rank, default_param_init_filter_rank, default_param_init_scale = 1, 0, 1
default_profiler_buffer_size = 32 << 20
sentinel_value_for_auto_select_random_seed = AUTO_SEED
sentinel_value_for_infer_param_init_rank = 2**31 - 1
chunk_id_max = sequence_len_max = 2**32 - 1

_ELSEWHERE = {
    "Learner": "learners", "ProgressWriter": "logging._writer", "Trainer": "train", "Evaluator": "train._evaluator",
    "MinibatchSource": "io", "MinibatchData": "io", "StreamInformation": "io", "StreamConfiguration": "io",
    "CheckpointConfig": "train", "CrossValidationConfig": "train", "TestConfig": "train", "TrainingSession": "train",
    "DistributedCommunicator": "train", "DistributedLearner": "train", "MinibatchSourceConfig": "io",
    "enable_profiler": "debugging", "disable_profiler": "debugging", "start_profiler": "debugging",
    "stop_profiler": "debugging", "get_trace_level": "logging", "set_trace_level": "logging",
}  # fmt: skip
_switches: dict[str, Any] = {}


def __getattr__(name: str) -> Any:
    if name in _ELSEWHERE:
        return getattr(importlib.import_module(f"cntk_lab.{_ELSEWHERE[name]}"), name)
    found = None if name.startswith("_") else getattr(importlib.import_module("cntk_lab.ops"), name, None)
    if isinstance(found, FunctionType):
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# ---- classes


class SizeTWrapper:
    """A whole number as CNTK's dictionaries hold it.

    Example:
        >>> SizeTWrapper(3).value
        3
    """

    def __init__(self, value: int) -> None:
        self.value = int(value)

    def __index__(self) -> int:
        return self.value

    def __eq__(self, other: object) -> bool:
        return self.value == getattr(other, "value", other)

    def __hash__(self) -> int:
        return hash(self.value)


class NDShape:
    """A static shape; ``dimensions()`` gives it in CNTK's order, which is the reverse of Python's.

    Example:
        >>> NDShape((2, 3)).dimensions(), NDShape((2, 3)).total_size()
        ((3, 2), 6)
    """

    unknown: NDShape

    def __init__(self, shape: Any = ()) -> None:
        self._shape: Shape = as_shape(shape)

    def dimensions(self) -> Shape:
        """The dimensions in CNTK's order."""
        return self._shape[::-1]

    def rank(self) -> int:
        """Number of axes."""
        return len(self._shape)

    def total_size(self) -> int:
        """Number of elements."""
        return size(self._shape)

    def has_inferred_dimension(self) -> bool:
        """Whether a dimension is still to be inferred."""
        return INFERRED in self._shape

    def has_free_dimension(self) -> bool:
        """Whether a dimension is known only per minibatch."""
        return FREE in self._shape


NDShape.unknown = NDShape((-2,))


class AdditionalLearningOptions:
    """Regularisation, noise and clipping, for the low-level learners of this module.

    Example:
        >>> AdditionalLearningOptions().l2_regularization_weight
        0.0
    """

    def __init__(self) -> None:
        self.l1_regularization_weight = 0.0
        self.l2_regularization_weight = 0.0
        self.gaussian_noise_injection_std_dev: Any = 0.0
        self.gradient_clipping_threshold_per_sample = float("inf")
        self.gradient_clipping_with_truncation = True
        self.use_mean_gradient = False
        self.dict_options: dict[str, Any] = {}


# ---- learners


def adam_learner(
    parameters: Iterable[variables.Parameter],
    learning_rate: Any,
    momentum: Any,
    unit_gain: bool,
    variance_momentum: Any,
    epsilon: float,
    adamax: bool,
    additional_options: AdditionalLearningOptions | None = None,
) -> Any:
    """The adam learner; see :func:`cntk_lab.learners.adam`."""
    learners = importlib.import_module("cntk_lab.learners")
    o = additional_options or AdditionalLearningOptions()
    size_ = o.dict_options.get("MinibatchSize")
    return learners.adam(
        list(parameters), learning_rate, momentum, unit_gain=unit_gain, variance_momentum=variance_momentum,
        l1_regularization_weight=o.l1_regularization_weight, l2_regularization_weight=o.l2_regularization_weight,
        gaussian_noise_injection_std_dev=o.gaussian_noise_injection_std_dev,
        gradient_clipping_threshold_per_sample=o.gradient_clipping_threshold_per_sample,
        gradient_clipping_with_truncation=o.gradient_clipping_with_truncation,
        epsilon=epsilon, adamax=adamax, minibatch_size=None if size_ is None else getattr(size_, "value", size_),
    )  # fmt: skip


def universal_learner(
    parameters: Iterable[variables.Parameter], gradients: Iterable[Variable], update: Function
) -> Any:
    """A learner whose update is a graph: ``update`` reads parameters and ``gradients`` and writes with assign."""
    users = importlib.import_module("cntk_lab.learners._user")
    return users._UniversalLearner(lambda *_: update, list(parameters), list(gradients))


# ---- classes whose C++ constructors take other arguments


class _ParameterType(type):
    """Makes every parameter an instance of :class:`Parameter`."""

    def __instancecheck__(cls, thing: object) -> bool:
        return isinstance(thing, variables.Parameter)


class Parameter(metaclass=_ParameterType):
    """Parameters as CNTK's C++ constructor makes them: shape, number of the element type, value.

    Args:
        shape: static shape.
        data_type: ``DataType_Float``, ``DataType_Double`` or ``DataType_Float16``.
        value: a number, an array or an initializer.
        device: where the numbers live; default the default device.
        name: name for look-ups and files.

    Returns:
        An ordinary ``Parameter``; every parameter is an instance of this class.

    Example:
        >>> w = Parameter((1, 2), DataType_Double, 5.0)
        >>> w.value.tolist(), str(w.dtype), isinstance(w, Parameter)
        ([[5.0, 5.0]], "<class 'numpy.float64'>", True)

    Source: CNTK 2.7 ``cntk_py.Parameter``.
    """

    def __new__(  # type: ignore[misc]  # noqa: D102
        cls,
        shape: Any,
        data_type: int = DataType_Float,
        value: Any = 0.0,
        device: DeviceDescriptor | None = None,
        name: str = "",
    ) -> variables.Parameter:
        return variables.Parameter(shape, init=value, dtype=data_type, device=device, name=name)


# ---- switches


def always_allow_setting_default_device() -> None:
    """Accepted for CNTK programs: the default device may always be set here."""


def force_deterministic_algorithms() -> None:
    """Accepted for CNTK programs and remembered: sums are always taken in the same order here."""
    _switches["deterministic"] = True


def should_force_deterministic_algorithms() -> bool:
    """Whether :func:`force_deterministic_algorithms` was called."""
    return bool(_switches.get("deterministic", False))


def set_checked_mode(enable: bool) -> None:
    """Watch the edges of all buffers during runs (slow)."""
    settings.set_option("checked", bool(enable))


def set_computation_network_trace_level(level: int) -> None:
    """Accepted for CNTK programs and remembered: plans can be printed instead."""
    _switches["network_trace_level"] = int(level)


def set_max_num_cputhreads(count: int) -> None:
    """Set the number of threads of the CPU engine; 0 means one for each core."""
    settings.set_option("threads", int(count))


def get_max_num_cputhreads() -> int:
    """The number of threads of the CPU engine; 0 means one for each core."""
    return settings.number("threads")


def use_sparse_gradient_aggregation_in_data_parallel_sgd(enable: bool) -> None:
    """Accepted for CNTK programs and remembered."""
    _switches["sparse_aggregation"] = bool(enable)


def is_native_user_function_registered(op_id: str) -> bool:
    """False: functions compiled for CNTK's C++ interface cannot run here."""
    del op_id
    return False


def _ignored(what: str) -> Any:
    def ignore(*_: object) -> None:
        return None

    ignore.__doc__ = f"Accepted for CNTK programs: {what}."
    return ignore


enable_forward_values_sharing = _ignored("memory is always planned here")
disable_forward_values_sharing = _ignored("memory is always planned here")
enable_cpueval_optimization = _ignored("plans are always optimised here")
disable_cpueval_optimization = _ignored("plans are always optimised here")
enable_gradient_accumulation_optimization = _ignored("gradients are always accumulated in place here")
disable_gradient_accumulation_optimization = _ignored("gradients are always accumulated in place here")
enable_reversing_tensor_shapes_in_error_messages = _ignored("messages always show shapes in Python's order")
enable_synchronous_gpukernel_execution = _ignored("set the environment variable of CUDA for that")
set_automatic_unpacking_of_packed_values = _ignored("values are unpacked when they are looked at")
set_math_lib_trace_level = _ignored("there is no such library here")
set_gpumemory_allocation_trace_level = _ignored("the profiler shows memory")
set_mpipack_threshold = _ignored("gradients are packed whole")
print_built_info = _ignored("see `cntk-lab doctor`")


def are_equal(left: Function, right: Function) -> bool:
    """Whether two functions are alike: same operators, attributes and values of parameters, in the same places.

    Args:
        left: a function.
        right: another.

    Returns:
        True or False; uids do not count.
    """
    records = importlib.import_module("cntk_lab.formats.cntk.description")
    write = importlib.import_module("cntk_lab.formats.cntk.write")
    return bool(records.same(_without_uids(records, write, left), _without_uids(records, write, right)))


def _without_uids(records: Any, write: Any, function: Function) -> Any:
    """What a function's file would say, its uids replaced by their order of appearance."""
    numbers: dict[str, str] = {}

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: (name(v) if k in ("uid", "root") else plain(v)) for k, v in value.items() if k != "rng_seed"}
        if isinstance(value, list):
            return [name(v) if isinstance(v, str) else plain(v) for v in value]
        return value

    def name(uid: str) -> str:
        return numbers.setdefault(uid, f"#{len(numbers)}")

    return plain(records.to_dictionary(write.describe(function)))


def to_dictionary(thing: Any) -> Dictionary:
    """The entries by which a minibatch source's configuration is described.

    Raises:
        AttributeValueError: if the object cannot be described so.
    """
    describe = getattr(thing, "to_dictionary", None)
    if describe is None:
        raise AttributeValueError(f"{type(thing).__name__} has no description as a dictionary")
    return Dictionary(describe())
