"""Names that CNTK's modules show without meaning to: what they import. Programs take them from there all the same.

``from cntk.layers import *`` brought Constant, splice, np and more, and programs use them. :func:`complete` gives a
module of this package these names too (once ``cntk_lab.alias`` stands in for ``cntk``), looked up when they are asked
for, and makes ``import *`` bring all of them. The table holds what CNTK 2.7 shows by ``dir`` and by ``import *`` and
this package's modules do not show by themselves (tests/golden/names.json has CNTK's whole lists).
"""

from __future__ import annotations

import contextlib
import importlib
from types import ModuleType
from typing import Any, Final

__all__ = ["NAMES", "complete", "restore"]

NAMES: Final = {
    "": (
        "C CheckpointConfig Communicator CrossValidationConfig DATATYPE DataUnit DistributedLearner Enum "
        "Evaluator IGNORE INFINITELY_REPEAT Learner MinibatchData ModelFormat TestConfig Trainer TrainingSession "
        "UnitType UserLearner WorkerDescriptor _cntk_py adadelta adagrad adam block_momentum_distributed_learner "
        "contrib ctypes data_parallel_distributed_learner debugging default_unit_gain_value distributed division "
        "enum eval evaluator fsadagrad install_samples io lattice_sequence_with_softmax layers learners "
        "learning_parameter_schedule learning_parameter_schedule_per_sample learning_rate_schedule logging losses "
        "metrics minibatch_size_schedule misc momentum_as_time_constant_schedule momentum_schedule "
        "momentum_schedule_per_sample momentum_sgd mpi_communicator nesterov np numbers os platform "
        "print_function random rmsprop sample_installer set_default_unit_gain_value sgd sparse sys tests train "
        "trainer training_parameter_schedule training_session unique universal warnings"
    ),
    "axis": "cntk_py typemap",
    "core": "cntk_py data_type_to_dtype np numbers sanitize_batch sparse typemap user_function warnings",
    "debugging": "cntk_py defaultdict division map_if_possible print_function sys",
    "debugging.debug": "cntk_py defaultdict map_if_possible sys",
    "debugging.profiler": "cntk_py",
    "device": "Enum cntk_py typemap unique",
    "eval": "MinibatchData cntk_py sanitize_function sanitize_var_map typemap use_default_device",
    "eval.evaluator": "MinibatchData cntk_py sanitize_function sanitize_var_map typemap use_default_device",
    "initializer": "cntk_py",
    "internal": "C cntk cntk_py collections np numbers",
    "internal.sanitize": "Axis C cntk_py collections np numbers typemap",
    "internal.swig_helper": "cntk_py wraps",
    "internal.utils": "NDArrayView cntk_py np",
    "io": (
        "TraceLevel Value _py_dict_to_cntk_dict cntk cntk_py get_trace_level is_string np sanitize_dtype_cntk "
        "typemap use_default_device uuid warnings"
    ),
    "io.transforms": "cntk_py sanitize_2d_number sanitize_range",
    "layers": (
        "Axis C Constant Function FunctionType InferredDimension NDShape Parameter PoolingType_Average "
        "PoolingType_Max Record Variable alias attention batch_normalization combine convolution "
        "convolution_transpose default_override_or division dropout get_default_override "
        "get_python_function_arguments getargspec glorot_uniform is_default_override map_function_arguments np "
        "placeholder pooling reconcile_dynamic_axes reduce_mean reshape sanitize_shape sigmoid slice softplus "
        "splice sqrt tanh times unpooling warn"
    ),
    "layers.blocks": (
        "BlockFunction Constant Function InferredDimension Parameter _as_tuple alias combine default_override_or "
        "division get_default_override glorot_uniform np placeholder sigmoid slice softplus tanh times"
    ),
    "layers.higher_order_layers": "FunctionType getargspec",
    "layers.layers": (
        "BlockFunction C Constant Function NDShape Parameter PoolingType_Average PoolingType_Max Record "
        "UntestedBranchError _INFERRED _as_tuple _initializer_for batch_normalization convolution "
        "convolution_transpose default_override_or division dropout get_default_override identity "
        "is_default_override np pooling reduce_mean reshape sequence splice sqrt times unpooling"
    ),
    "layers.models": (
        "C Dense Function Label PastValueWindow Stabilizer attention default_options default_override_or division "
        "get_default_override glorot_uniform warn"
    ),
    "layers.models.attention": (
        "C Dense Function Label PastValueWindow Stabilizer default_options default_override_or division "
        "get_default_override glorot_uniform warn"
    ),
    "layers.sequence": (
        "BlockFunction Constant ForwardDeclaration Function GRU InferredDimension LSTM Parameter RNNStep RNNUnit "
        "Record Stabilizer UntestedBranchError alias combine default_override_or division get_default_override "
        "glorot_uniform identity np placeholder reconcile_dynamic_axes sequence sigmoid slice softplus splice "
        "tanh times"
    ),
    "layers.typing": "_as_tuple get_python_function_arguments map_function_arguments np sanitize_shape",
    "learners": "Enum NDArrayView asarray cntk_py map_if_possible np typemap unique utils warnings",
    "logging": "Enum Variable cntk_py core cpu division os print_function progress_print sys time unique",
    "logging.graph": "Variable os sys",
    "logging.progress_print": "cntk_py core cpu division print_function sys time",
    "losses": (
        "Axis C CloneMethod Constant Function Parameter Variable auto_select division get_data_type np parameter "
        "print_function sanitize_axis sanitize_dynamic_axes sanitize_input sanitize_shape softmax times typemap"
    ),
    "metrics": "division get_data_type print_function sanitize_axis sanitize_input typemap",
    "misc": "C np",
    "misc.converter": "C",
    "misc.optimized_rnnstack_converter": "C convert np",
    "ops": (
        "Axis CloneMethod Function INFINITELY_REPEAT ModelFormat PoolingType_Average PoolingType_Max "
        "SentinelValueForAutoSelectRandomSeed cntk_py default_override_or division get_data_type "
        "get_default_override load_model np numbers print_function sanitize_axis sanitize_axis_list "
        "sanitize_convolution_args sanitize_dtype_cntk sanitize_dynamic_axes sanitize_input "
        "sanitize_multi_axis_reduction_list sanitize_permutation sanitize_pooling_args sanitize_shape typemap "
        "use_default_device"
    ),
    "ops.functions": (
        "DeviceDescriptor Enum ModelFormat UserFunction _as_tuple _py_dict_to_cntk_dict _to_cntk_dict_value "
        "_value_as_sequence_or_array cntk cntk_py collections cpu get_python_function_arguments is_byte_buffer "
        "map_function_arguments map_if_possible native_user_function path register_native_user_function "
        "sanitize_Function_attributes sanitize_batch sanitize_dtype_cntk sanitize_var_map "
        "sanitize_variable_value_dict sanitize_variables_or_functions sys typemap unique warnings"
    ),
    "ops.sequence": "Axis default_override_or get_data_type np sanitize_input typemap",
    "ops.tests.ops_test_utils": (
        "AA C Function PRECISION_TO_TYPE TOLERANCE_ABSOLUTE constant np os precision pytest sanitize_dtype_cntk "
        "set_device_from_pytest_env sp"
    ),
    "random": (
        "auto_select default_override_or division np print_function sanitize_input sanitize_random_args typemap"
    ),
    "sample_installer": "os pip print_function string sys textwrap urlretrieve warnings zipfile",
    "tensor": "warnings",
    "tests.test_utils": "AA C np precision pytest sp",
    "train": (
        "Enum cntk_py ctypes enum platform sanitize_function sanitize_var_map sys typemap unique use_default_device"
    ),
    "train.distributed": "cntk_py ctypes platform trainer typemap",
    "train.trainer": (
        "MinibatchData _py_dict_to_cntk_dict _value_as_sequence_or_array cntk_py sanitize_function "
        "sanitize_var_map typemap use_default_device"
    ),
    "train.training_session": (
        "Enum _as_tuple cntk_py enum sanitize_function sanitize_var_map sys typemap unique use_default_device"
    ),
    "variables": (
        "DeviceDescriptor cntk_py default_override_or get_default_override np sanitize_dtype_cntk "
        "sanitize_dynamic_axes sanitize_precision sanitize_shape sanitize_value typemap use_default_device"
    ),
}
"""Module (below ``cntk``) -> the names it shows too."""

_MODULES: Final = {
    "C": "cntk_lab", "cntk": "cntk_lab", "cntk_py": "cntk_lab.cntk_py", "_cntk_py": "cntk_lab.cntk_py",
    "attention": "cntk_lab.layers.models.attention", "core": "cntk_lab.core", "evaluator": "cntk_lab.eval.evaluator",
    "progress_print": "cntk_lab.logging.progress_print", "np": "numpy", "path": "os.path", "sp": "scipy",
    "sparse": "scipy.sparse",
    **dict.fromkeys(("collections", "ctypes", "enum", "numbers", "os", "pip", "platform", "pytest"), ""),
    **dict.fromkeys(("string", "sys", "textwrap", "time", "uuid", "warnings", "zipfile"), ""),
}  # fmt: skip
"""Names that are modules -> the modules; empty: the module of that name."""

_PARTS: Final = {
    "Enum": "enum", "unique": "enum", "division": "__future__", "print_function": "__future__", "wraps": "functools",
    "defaultdict": "collections", "namedtuple": "collections", "warn": "warnings", "FunctionType": "types",
    "urlretrieve": "urllib.request", "NDShape": "cntk_lab.cntk_py", "utils": "cntk_lab.internal",
}  # fmt: skip
"""Names that are parts of modules -> the modules."""

_HOMES: Final = tuple(
    f"cntk_lab{dot}"
    for dot in ("", ".internal", ".internal.utils", ".layers", ".layers.blocks", ".logging", ".tests.test_utils")
)
"""Modules in which every other name is looked for, in this order."""


_OURS: Final = ("Any", "Callable", "TYPE_CHECKING", "annotations", "importlib", "ports")
"""What modules without ``__all__`` import for themselves, and do not hand on."""


def _value(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name] or name)
    if name in _PARTS:
        return getattr(importlib.import_module(_PARTS[name]), name)
    if name == "DATATYPE":  # the element type unless another is said
        return importlib.import_module("numpy").float32
    if name == "getargspec":  # Python has dropped it
        return importlib.import_module("inspect").getfullargspec
    for home in _HOMES:
        module = importlib.import_module(home)
        if hasattr(module, name):
            return getattr(module, name)
    raise AttributeError(name)


def complete(module: ModuleType) -> None:
    """Let a module show what CNTK's module of that name shows.

    Args:
        module: a module of this package; one that needs no more names is left as it is, and so is one that has them.

    Example:
        >>> from types import ModuleType
        >>> module = ModuleType("cntk_lab.misc.converter")
        >>> complete(module)
        >>> module.C.__name__
        'cntk_lab'

    Source: CNTK 2.7, by introspection.
    """
    names = NAMES.get(module.__name__.removeprefix("cntk_lab").removeprefix("."), "").split()
    own, promised = vars(module).get("__getattr__"), vars(module).get("__all__")
    if not names or isinstance(own, _LookUp):
        return
    shown = promised or [n for n in vars(module) if not n.startswith("_") and n not in _OURS]
    vars(module).update(
        __getattr__=_LookUp(module, names, own, promised),
        __all__=sorted({*shown, *(n for n in names if not n.startswith("_"))}),
    )


def restore(module: ModuleType) -> None:
    """Undo :func:`complete`.

    Args:
        module: any module.

    Example:
        >>> from types import ModuleType
        >>> module = ModuleType("cntk_lab.misc.converter")
        >>> complete(module)
        >>> restore(module)
        >>> hasattr(module, "C")
        False

    Source: this project.
    """
    look_up = vars(module).get("__getattr__")
    if isinstance(look_up, _LookUp):
        look_up.undo()


class _LookUp:
    """What a completed module does for a name that it does not have."""

    def __init__(self, module: ModuleType, names: list[str], own: Any, promised: list[str] | None) -> None:
        self.module, self.names, self.own, self.promised = module, names, own, promised
        self.found: list[str] = []

    def __call__(self, name: str) -> Any:
        if self.own is not None:
            with contextlib.suppress(AttributeError):
                return self.own(name)
        if name not in self.names:
            raise AttributeError(f"module {self.module.__name__!r} has no attribute {name!r}")
        self.found.append(name)
        return vars(self.module).setdefault(name, _value(name))

    def undo(self) -> None:
        """Leave the module as it was."""
        for name, before in (("__getattr__", self.own), ("__all__", self.promised)):
            if before is None:
                del vars(self.module)[name]
            else:
                vars(self.module)[name] = before
        for name in self.found:
            vars(self.module).pop(name, None)
