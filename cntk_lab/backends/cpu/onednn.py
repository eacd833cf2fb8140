"""oneDNN by its C interface: memory descriptors, primitives made once per description, argument blocks bound to data.

``probe()`` finds ``libdnnl`` (wheel onednn-cpu-gomp), runs a small product with it and says why not otherwise. A
:class:`Primitive` is made once per description (kept, least recently used go); :meth:`Primitive.bind` makes memory
objects whose data can be set at any time, and whose :meth:`Bound.row` goes into the executor's table.
Only float32: oneDNN has no float64 on the CPU. Knows no plans and no operators.

Source: oneDNN 3.2, C interface (dnnl.h); numbers of enumerations are those of that release line.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cntk_lab import settings
from cntk_lab.backends.cpu import threads
from cntk_lab.backends.cpu.window import Window, longs
from cntk_lab.errors import NotAvailableError

Pointer = ctypes.c_void_p
_F32, _ANY_TAG, _CPU, _IN_ORDER = 3, 1, 1, 1
TRAINING, INFERENCE = 64, 96
_DIRECT = 1
_MAX, _AVG_INCLUDING, _AVG_EXCLUDING = 0x1FF, 0x2FF, 0x3FF
_ELTWISE: Final = {"tanh": 0x21, "logistic": 0x29}
_MULTIPLY: Final = 0x1FFF1
BLEND: Final = ("blend",)
_QUERY: Final = {
    "source": 129,
    "source_gradient": 130,
    "weights": 131,
    "weights_gradient": 132,
    "target": 133,
    "target_gradient": 134,
    "workspace": 135,
    "scratch": 136,
}
_ARGUMENT: Final = {
    "source": 1,
    "target": 17,
    "weights": 33,
    "bias": 41,
    "workspace": 64,
    "scratch": 80,
    "ratio": 32768 * 1 | 2,  # the second operand of post-operation 0
    "share": 32768 * 3 | 2,  # and of post-operation 2
    "source_gradient": 129,
    "target_gradient": 145,
    "weights_gradient": 161,
    "bias_gradient": 169,
}


class _ExecArg(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_int), ("memory", Pointer))


@dataclass(frozen=True, slots=True)
class Layout:
    """How a tensor of float32 lies in memory: by strides (in elements), or ``strides=None`` = as the primitive
    likes.
    """

    dims: tuple[int, ...]
    strides: tuple[int, ...] | None = None

    @staticmethod
    def dense(*dims: int) -> Layout:
        """The plain C order."""
        strides = [1] * len(dims)
        for i in range(len(dims) - 2, -1, -1):
            strides[i] = strides[i + 1] * max(1, dims[i + 1])
        return Layout(dims, tuple(strides))

    @staticmethod
    def channels_last(*dims: int) -> Layout:
        """(batch, channels, spatial...) with the channels innermost in memory."""
        spatial = Layout.dense(*dims[2:], dims[1]).strides or ()
        count = 1
        for d in dims[1:]:
            count *= max(1, d)
        return Layout(dims, (count, 1, *spatial[:-1]))


class Library:
    """The loaded library with one engine, one stream and one memory to work in."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.dll = ctypes.CDLL(path)
        self.dll.dnnl_memory_desc_get_size.restype = ctypes.c_size_t
        self.dll.dnnl_primitive_desc_query_md.restype = Pointer
        self.engine, self.stream = Pointer(), Pointer()
        self._scratch = aligned(0)
        self.check(self.dll.dnnl_engine_create(ctypes.byref(self.engine), _CPU, ctypes.c_size_t(0)), "engine")
        self.check(self.dll.dnnl_stream_create(ctypes.byref(self.stream), self.engine, _IN_ORDER), "stream")

    @staticmethod
    def check(status: int, what: str) -> None:
        """Raise NotAvailableError if a call reported an error."""
        if status:
            words = {1: "out of memory", 2: "arguments", 3: "not implemented", 5: "runtime", 6: "not required"}
            raise NotAvailableError(
                f"oneDNN {what}: status {status} ({words.get(status, 'unknown')})", fix="the NumPy tier serves"
            )

    def address(self, name: str) -> int:
        """The address of a function of the library."""
        return ctypes.cast(getattr(self.dll, name), Pointer).value or 0

    def descriptor(self, layout: Layout) -> Pointer:
        """A memory descriptor of this layout."""
        out, n = Pointer(), len(layout.dims)
        if layout.strides is None:
            made = self.dll.dnnl_memory_desc_create_with_tag(ctypes.byref(out), n, longs(layout.dims), _F32, _ANY_TAG)
        else:
            strides = longs(layout.strides)
            made = self.dll.dnnl_memory_desc_create_with_strides(
                ctypes.byref(out), n, longs(layout.dims), _F32, strides
            )
        self.check(made, f"memory descriptor {layout}")
        return out

    def create(self, kind: str, *arguments: Any) -> Pointer:
        """A primitive descriptor of this kind."""
        out = Pointer()
        function = getattr(self.dll, f"dnnl_{kind}_primitive_desc_create")
        engine = () if kind == "reorder" else (self.engine,)
        self.check(function(ctypes.byref(out), *engine, *arguments), kind)
        return out

    def scratch(self, size: int) -> npt.NDArray[np.float32]:
        """Memory to work in, for primitives that run one after the other (see ``TURN``).

        The library would keep such memory for each thread by itself, of the size that primitives made in this thread
        need: a primitive that is made in one thread and run in another could write behind it.
        """
        if self._scratch.nbytes < size:
            self._scratch = aligned(size + size // 4)
        return self._scratch

    def attributes(self, post: Sequence[str] = (), beta: float = 0.0) -> Pointer:
        """Post-operations: first ``+ beta * what was there``, then the words of ``post``.

        Each use brings memory to work in (:meth:`scratch`, or its own where threads run primitives side by side).
        """
        attributes, operations = Pointer(), Pointer()
        self.check(self.dll.dnnl_primitive_attr_create(ctypes.byref(attributes)), "attributes")
        self.check(self.dll.dnnl_primitive_attr_set_scratchpad_mode(attributes, 1), "scratch memory")
        self.check(self.dll.dnnl_post_ops_create(ctypes.byref(operations)), "post-operations")
        if beta:
            self.check(self.dll.dnnl_post_ops_append_sum(operations, ctypes.c_float(beta), 0, 0), "sum")
        if post == BLEND:
            number = self.descriptor(Layout((1, 1), (1, 1)))
            self.check(self.dll.dnnl_post_ops_append_binary(operations, _MULTIPLY, number), "ratio")
            self.check(self.dll.dnnl_post_ops_append_sum(operations, ctypes.c_float(1), 0, 0), "sum")
            self.check(self.dll.dnnl_post_ops_append_binary(operations, _MULTIPLY, number), "share")
            post = ()
        for name in post:
            zero = ctypes.c_float(0)
            self.check(self.dll.dnnl_post_ops_append_eltwise(operations, _ELTWISE[name], zero, zero), name)
        self.check(self.dll.dnnl_primitive_attr_set_post_ops(attributes, operations), "post-operations")
        self.dll.dnnl_post_ops_destroy(operations)
        return attributes


# ---------------------------------------------------------------- probe


@functools.cache
def _found() -> tuple[Library | None, str | None]:
    names = {"win32": ("Library/bin/dnnl.dll", "bin/dnnl.dll"), "darwin": ("lib/libdnnl.*dylib",)}
    patterns = names.get(sys.platform, ("lib/libdnnl.so.3", "lib/libdnnl.so*"))
    places = [Path(sys.prefix), Path(sys.base_prefix), Path(np.__file__).parents[1], Path(np.__file__).parents[4]]
    paths = [p for place in places for pattern in patterns for p in sorted(map(str, place.glob(pattern)))]
    reason = "no libdnnl beside Python (pip install onednn-cpu-gomp==2023.2.0 on Linux x86-64)"
    if threads.gomp() is None and sys.platform == "linux":
        return None, threads.why_serial()
    for path in dict.fromkeys(paths):
        try:
            library = Library(path)
            if _version(library)[0] != 3:
                reason = f"{path} has version {_version(library)}; needs 3"
                continue
        except (OSError, AttributeError, NotAvailableError) as error:
            reason = f"{path}: {error}"
            continue
        return library, None
    return None, reason


def _version(library: Library) -> tuple[int, int]:
    library.dll.dnnl_version.restype = ctypes.POINTER(ctypes.c_int)
    numbers = library.dll.dnnl_version()
    return int(numbers[0]), int(numbers[1])


@functools.cache
def _tested() -> str | None:
    """Why the self-test says no, or None."""
    library, reason = _found()
    if library is None:
        return reason
    a = np.arange(12, dtype=np.float32).reshape(3, 4) * np.float32(1 / 64)
    b = np.arange(20, dtype=np.float32).reshape(4, 5) - 7
    c = np.full((3, 5), 2, np.float32)
    try:
        product = make(("matmul", 3, 5, 4, (4, 1), (5, 1), (5, 1), False, ("tanh",), 0.5))
        product.bind({"source": a, "weights": b, "target": c})()
    except NotAvailableError as error:
        return str(error)
    return None if np.allclose(c, np.tanh(a @ b + 1), atol=1e-5) else f"{library.path}: a small product came out wrong"


def why_not() -> str | None:
    """Why oneDNN is not used, or None if it is."""
    return "switched off (option onednn)" if not settings.flag("onednn") else _tested()


def available() -> bool:
    """Whether oneDNN is found, works and is wanted."""
    return why_not() is None


def loaded() -> Library:
    """The library, or an error that says how to get it."""
    library, reason = _found()
    if library is None:
        raise NotAvailableError(f"oneDNN is not there: {reason}", fix="pip install onednn-cpu-gomp==2023.2.0")
    return library


def addresses() -> tuple[int, int]:
    """The addresses of dnnl_primitive_execute and dnnl_memory_set_data_handle; zeros without oneDNN."""
    library, _ = _found()
    if library is None:
        return 0, 0
    return library.address("dnnl_primitive_execute"), library.address("dnnl_memory_set_data_handle")


# ---------------------------------------------------------------- primitives


class Primitive:
    """One oneDNN primitive: what it computes is fixed, its data is not.

    ``roles`` are the names of its arguments; ``descriptor(role)`` the memory descriptor, ``size(role)`` its bytes and
    ``is_layout(role, layout)`` whether an array of that layout can be given as it is (else a :func:`reorder` is
    needed).
    """

    def __init__(
        self, library: Library, descriptor: Pointer, given: Mapping[str, Pointer], roles: Sequence[str]
    ) -> None:
        self.library, self.description, self.roles = library, descriptor, tuple(roles)
        self._descriptors = dict(given)
        for role in roles:
            if role in _QUERY and role not in given:
                self._descriptors[role] = self._asked(role)
        if "scratch" not in self.roles:
            self._descriptors["scratch"] = self._asked("scratch")
            self.roles += ("scratch",) if self.size("scratch") else ()
        self._primitive = Pointer()
        library.check(library.dll.dnnl_primitive_create(ctypes.byref(self._primitive), descriptor), "primitive")
        self.address = self._primitive.value or 0

    def _asked(self, role: str) -> Pointer:
        return Pointer(self.library.dll.dnnl_primitive_desc_query_md(self.description, _QUERY[role], 0))

    def descriptor(self, role: str) -> Pointer:
        """The memory descriptor of an argument."""
        return self._descriptors[role]

    def size(self, role: str) -> int:
        """Bytes of an argument's memory."""
        return int(self.library.dll.dnnl_memory_desc_get_size(self._descriptors[role]))

    def is_layout(self, role: str, layout: Layout) -> bool:
        """Whether an argument lies in memory like ``layout``."""
        other = self.library.descriptor(layout)
        return bool(self.library.dll.dnnl_memory_desc_equal(self._descriptors[role], other))

    def implementation(self) -> str:
        """The name oneDNN gives to the implementation it chose (``brg:avx512_core``, ``ref:any``, ...)."""
        text = ctypes.c_char_p()
        self.library.dll.dnnl_primitive_desc_query(self.description, 8, 0, ctypes.byref(text))
        return (text.value or b"").decode()

    def bind(self, data: Mapping[str, int | npt.NDArray[np.float32]] | None = None) -> Bound:
        """Memory objects for this primitive; ``data`` are arrays or addresses by role, the others come later."""
        return Bound(self, data or {})


class Bound:
    """A primitive with memory objects: one use of it in a plan. Call it, or put :meth:`row` into a table."""

    def __init__(self, primitive: Primitive, data: Mapping[str, int | npt.NDArray[np.float32]]) -> None:
        self.primitive = primitive
        self.memories: dict[str, int] = {}
        self._kept = dict(data)
        dll = primitive.library.dll
        arguments = []
        for role in primitive.roles:
            memory = Pointer()
            made = dll.dnnl_memory_create(
                ctypes.byref(memory), primitive.descriptor(role), primitive.library.engine, None
            )
            primitive.library.check(made, f"memory of {role}")
            self.memories[role] = memory.value or 0
            arguments.append(_ExecArg(_ARGUMENT[role], memory))
        self._arguments = (_ExecArg * len(arguments))(*arguments)
        for role, value in data.items():
            self.set(role, value)
        if "scratch" in self.memories and "scratch" not in data:
            self.set("scratch", primitive.library.scratch(primitive.size("scratch")))

    def set(self, role: str, value: int | npt.NDArray[np.float32]) -> None:
        """Use the data of this array (kept alive) or at this address for an argument."""
        dll = self.primitive.library.dll
        pointer = value if isinstance(value, int) else value.ctypes.data
        self._kept[role] = value
        dll.dnnl_memory_set_data_handle(Pointer(self.memories[role]), Pointer(pointer))

    def row(self) -> tuple[int, int, int, int]:
        """Primitive, stream, number of arguments, address of the arguments: for ``executor.primitive_row``."""
        stream = self.primitive.library.stream.value or 0
        return self.primitive.address, stream, len(self._arguments), ctypes.addressof(self._arguments)

    def __call__(self) -> None:
        """Run it now, from Python."""
        library, (address, stream, count, arguments) = self.primitive.library, self.row()
        status = library.dll.dnnl_primitive_execute(Pointer(address), Pointer(stream), count, Pointer(arguments))
        library.check(status, "execute")

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            for memory in self.memories.values():
                self.primitive.library.dll.dnnl_memory_destroy(Pointer(memory))


@functools.lru_cache(maxsize=4096)
def make(key: tuple[Any, ...]) -> Primitive:
    """The primitive of a description; kept, because making one costs 0.1 to 1 milliseconds."""
    kind, *rest = key
    made: Primitive = MAKERS[kind](loaded(), *rest)
    return made


def _matmul(
    library: Library,
    m: int,
    n: int,
    k: int,
    a: Any,
    b: Any,
    c: Any,
    bias: bool,
    post: tuple[str, ...],
    beta: float,
    batch: Any = None,
    count: int = 0,
) -> Primitive:
    lies: dict[str, tuple[Any, Any]] = {"source": ((m, k), a), "weights": ((k, n), b), "target": ((m, n), c)}
    if batch is not None:
        count, *apart = batch
        # an operand that all products share has one entry along the batch
        lies = {
            role: ((count if between else 1, *dims), (between or dims[0] * dims[1], *strides))
            for (role, (dims, strides)), between in zip(lies.items(), apart, strict=True)
        }
    given = {role: library.descriptor(Layout(dims, tuple(strides))) for role, (dims, strides) in lies.items()}
    roles = ["source", "weights", "target"]
    if bias:
        given["bias"] = library.descriptor(Layout((1, n), (n, 1)))
        roles.append("bias")
    attributes = library.attributes(post, beta)
    ends = given["source"], given["weights"], given.get("bias"), given["target"]
    if post == BLEND:
        for role in ("ratio", "share"):
            given[role] = library.descriptor(Layout((1, 1), (1, 1)))
            roles.append(role)
    with threads.limited(count):
        return Primitive(library, library.create("matmul", *ends, attributes), given, roles)


def matmul(
    m: int,
    n: int,
    k: int,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    strides_a: tuple[int, int] | None = None,
    strides_b: tuple[int, int] | None = None,
    strides_c: tuple[int, int] | None = None,
    bias: bool = False,
    post: tuple[str, ...] = (),
    beta: float = 0.0,
    batch: tuple[int, int, int, int] | None = None,
    threads: int = 0,
) -> Primitive:
    """The primitive of target (m x n) = post(source (m x k) weights (k x n) + bias + beta target).

    Args:
        m: rows of the target.
        n: columns of the target.
        k: inner dimension.
        transpose_a: source is stored (k x m).
        transpose_b: weights are stored (n x k).
        strides_a: strides of the source (m x k) in elements, instead of that.
        strides_b: strides of the weights (k x n) in elements, instead of that.
        strides_c: strides of the target (m x n) in elements; default dense.
        bias: whether an argument "bias" (n) is added.
        post: words among tanh, logistic, applied last; or BLEND: target = share (ratio product + target), with
            two numbers that are read when it runs.
        beta: factor of what the target held before.
        batch: number of products that are done side by side, and how many elements lie between the sources, weights
            and targets of neighbouring ones (0: they share it).
        threads: on how many threads it runs; 0 = all.

    Returns:
        Primitive with roles source, weights, target and perhaps bias.

    Raises:
        NotAvailableError: if oneDNN is missing or cannot do this.
    """
    a = strides_a or ((1, m) if transpose_a else (k, 1))
    b = strides_b or ((1, k) if transpose_b else (n, 1))
    return make(("matmul", m, n, k, a, b, strides_c or (n, 1), bias, tuple(post), float(beta), batch, threads))


def _as(order: str, dims: tuple[int, ...]) -> Layout:
    return Layout.dense(*dims) if order == "plain" else Layout.channels_last(*dims) if order == "last" else Layout(dims)


def _order(plain: bool, last: bool) -> str:
    return "last" if last else "plain" if plain else "any"


def _convolution(
    library: Library, what: str, w: Window, order: str, bias: bool, post: tuple[str, ...], count: int
) -> Primitive:
    with threads.limited(count):
        return _made_convolution(library, what, w, order, bias, post)


def _made_convolution(
    library: Library, what: str, w: Window, order: str, bias: bool, post: tuple[str, ...]
) -> Primitive:
    source = library.descriptor(_as(order, w.source))
    target = library.descriptor(_as(order, w.target()))
    weights = library.descriptor(_as("any", w.grouped_weights()))
    offset = library.descriptor(Layout((w.maps,), (1,))) if bias else None
    attributes = library.attributes(post)
    mode = INFERENCE if what == "inference" else TRAINING
    forward = library.create(
        "convolution_forward", mode, _DIRECT, source, weights, offset, target, *w.numbers(), attributes
    )
    if what in ("forward", "inference"):
        given = {"bias": offset} if offset is not None else {}
        return Primitive(library, forward, given, ["source", "weights", "target", *given])
    if what == "data":
        made = library.create(
            "convolution_backward_data", _DIRECT, source, weights, target, *w.numbers(), forward, library.attributes()
        )
        return Primitive(library, made, {}, ["source_gradient", "weights", "target_gradient"])
    made = library.create(
        "convolution_backward_weights",
        *(_DIRECT, source, weights, offset, target, *w.numbers(), forward, library.attributes()),
    )
    given = {"bias_gradient": offset} if offset is not None else {}
    return Primitive(library, made, given, ["source", "weights_gradient", "target_gradient", *given])


def convolution(
    what: str, window: Window, *, plain: bool = True, last: bool = False, bias: bool = False, post: tuple[str, ...] = ()
) -> Primitive:
    """The primitive of a convolution (cross-correlation) of any number of spatial axes.

    Args:
        what: "forward", "inference", "data" (gradient of the source) or "weights" (gradient of the weights).
        window: the geometry.
        plain: source and target are dense (batch, channels, ...); else they lie as oneDNN likes. Weights always do: see
            ``descriptor("weights")`` and :func:`reorder`.
        last: source and target lie channels last instead.
        bias: whether there is a bias (its gradient).
        post: words applied to the result (forward).

    Returns:
        Primitive with roles source, weights, target (bias), or their gradients.
    """
    products = math.prod(window.weights()) * window.source[0] * math.prod(window.target()[2:])
    count = 1 if threads.threads_for_products(products) == 1 else 0
    return make(("convolution", what, window, _order(plain, last), bias, tuple(post), count))


def _pooling(library: Library, what: str, kind: str, w: Window, order: str) -> Primitive:
    source = library.descriptor(_as("last" if order == "last" else "plain", w.source))
    target = library.descriptor(_as(order, w.target()))
    algorithm = {"max": _MAX, "average": _AVG_EXCLUDING, "average_including_padding": _AVG_INCLUDING}[kind]
    strides, _, lower, upper = w.numbers()
    dilation = longs([0] * len(w.kernel))
    mode = INFERENCE if what == "inference" else TRAINING
    geometry = (strides, longs(w.kernel), dilation, lower, upper)
    forward = library.create("pooling_forward", mode, algorithm, source, target, *geometry, library.attributes())
    workspace = ["workspace"] if kind == "max" and what != "inference" else []
    if what in ("forward", "inference"):
        return Primitive(library, forward, {}, ["source", "target", *workspace])
    made = library.create("pooling_backward", algorithm, source, target, *geometry, forward, library.attributes())
    return Primitive(library, made, {}, ["source_gradient", "target_gradient", *workspace])


def pooling(what: str, kind: str, window: Window, *, plain: bool = True, last: bool = False) -> Primitive:
    """The primitive of a pooling.

    Args:
        what: "forward" (writes a workspace for max), "inference" or "backward".
        kind: "max", "average" (of the elements that are there) or "average_including_padding".
        window: the geometry.
        plain: the target is dense.
        last: source and target lie channels last.

    Returns:
        Primitive with roles source, target (workspace) or source_gradient, target_gradient (workspace).
    """
    return make(("pooling", what, kind, window, _order(plain, last)))


def _reorder_between(library: Library, source: Pointer, target: Pointer) -> Primitive:
    made = library.create("reorder", source, library.engine, target, library.engine, library.attributes())
    return Primitive(library, made, {"source": source, "target": target}, ["source", "target"])


def reorder(source: Layout | tuple[Primitive, str], target: Layout | tuple[Primitive, str]) -> Primitive:
    """The primitive that copies from one layout to another; a layout may be an argument of a primitive."""
    library = loaded()
    ends = [library.descriptor(e) if isinstance(e, Layout) else e[0].descriptor(e[1]) for e in (source, target)]
    return _reorder_between(library, *ends)


MAKERS: Final[dict[str, Any]] = {
    "matmul": _matmul,
    "convolution": _convolution,
    "pooling": _pooling,
}


def aligned(size: int) -> npt.NDArray[np.float32]:
    """A zeroed float32 array of at least ``size`` bytes on a cache line."""
    raw = np.zeros(max(size, 64) + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + (max(size, 64) + 3) // 4 * 4].view(np.float32)
