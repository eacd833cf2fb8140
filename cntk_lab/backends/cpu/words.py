"""The words of generated CPU kernels: typed loads and stores, selection, and elementary functions that vectorise.

Generated sources (``formula/print_numba.py``, ``executor.py``) start with ``from cntk_lab.backends.cpu.words import
*``; this module is therefore only imported where a kernel is *compiled* (a child process), never by a program that
runs one: importing it imports numba. Its text is part of every kernel's cache key. It knows nothing of formulas or
plans.

The functions follow IEEE: nan in, nan out; overflow is infinity; no comparison is assumed ordered. Only the
additions of reductions may be reassociated (``add``/``mul`` words), so that compensated steps stay as they are written.
Every function is branch-free: LLVM turns a loop over it into vector code.

Mathematics: exp by Cody-Waite reduction and a polynomial (float32: fitted, float64: Taylor series); log by the series
of atanh((x-1)/(x+1)).
"""

# mypy: disable-error-code="call-arg,call-overload,var-annotated,unreachable,attr-defined,arg-type"
# mypy: disable-error-code="no-any-return,misc,operator,no-untyped-call"
# numba calls an intrinsic without its first parameter, which type checkers cannot know
# ruff: noqa: ARG001, PLR0124
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic

f32 = np.float32
f64 = np.float64
FLAGS = {"contract"}
"""The only liberty taken with arithmetic, inside of words alone: a*b+c may be one instruction."""

_IR = {
    types.float32: ir.FloatType(),
    types.float64: ir.DoubleType(),
    types.uint8: ir.IntType(8),
    types.int32: ir.IntType(32),
    types.int64: ir.IntType(64),
}
_BYTES = ir.IntType(8).as_pointer()


def _mark(builder: Any, instruction: Any, scope: int) -> Any:
    """Say that arrays of different scopes do not overlap: without it loops over many arrays are not vectorised."""
    if scope < 0:
        return instruction
    module = builder.module
    domain = module.add_metadata([ir.MetaDataString(module, "cntk_lab arrays")])
    scopes = [module.add_metadata([ir.MetaDataString(module, f"array {i}"), domain]) for i in range(96)]
    instruction.set_metadata("alias.scope", module.add_metadata([scopes[scope]]))
    instruction.set_metadata("noalias", module.add_metadata([s for i, s in enumerate(scopes) if i != scope]))
    return instruction


def _load_word(element: Any) -> Any:
    @intrinsic
    def load(_typing: Any, pointer: Any, index: Any, scope: Any) -> Any:
        if not isinstance(scope, types.IntegerLiteral):
            return None
        number = scope.literal_value

        def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            base = builder.inttoptr(args[0], _IR[element].as_pointer())
            loaded = builder.load(builder.gep(base, [args[1]], inbounds=True))
            return _mark(builder, loaded, number)

        return element(types.int64, types.int64, scope), generate

    return load


def _store_word(element: Any) -> Any:
    @intrinsic
    def store(_typing: Any, pointer: Any, index: Any, value: Any, scope: Any) -> Any:
        if not isinstance(scope, types.IntegerLiteral):
            return None
        number = scope.literal_value

        def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            base = builder.inttoptr(args[0], _IR[element].as_pointer())
            _mark(builder, builder.store(args[2], builder.gep(base, [args[1]], inbounds=True)), number)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, element, scope), generate

    return store


ld_f32, ld_f64, ld_i32, ld_i64 = map(_load_word, (types.float32, types.float64, types.int32, types.int64))
st_f32, st_f64, st_i64 = map(_store_word, (types.float32, types.float64, types.int64))
ld_u8, st_u8 = _load_word(types.uint8), _store_word(types.uint8)


@intrinsic
def sel(_typing: Any, condition: Any, if_true: Any, if_false: Any) -> Any:
    """``if_true`` where the condition holds, else ``if_false``; never a branch."""
    if condition != types.boolean or if_true != if_false:
        return None

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.select(*args)

    return if_true(condition, if_true, if_false), generate


def _builtin(name: str, arity: int, flags: tuple[str, ...] = ()) -> Any:
    @intrinsic
    def unary(_typing: Any, x: Any) -> Any:
        def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            kind = _IR[x]
            function = builder.module.declare_intrinsic(name, [kind], ir.FunctionType(kind, [kind]))
            return builder.call(function, args, fastmath=flags)

        return x(x), generate

    @intrinsic
    def binary(_typing: Any, x: Any, y: Any) -> Any:
        if x != y:
            return None

        def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            kind = _IR[x]
            function = builder.module.declare_intrinsic(name, [kind], ir.FunctionType(kind, [kind, kind]))
            return builder.call(function, args, fastmath=flags)

        return x(x, y), generate

    return unary if arity == 1 else binary


w_sqrt, w_floor, w_ceil, w_abs = (_builtin(f"llvm.{n}", 1) for n in ("sqrt", "floor", "ceil", "fabs"))
w_max, w_min = _builtin("llvm.maximum", 2, ("nsz",)), _builtin("llvm.minimum", 2, ("nsz",))
w_copysign = _builtin("llvm.copysign", 2)


def _reassociable(name: str) -> Any:
    @intrinsic
    def combine(_typing: Any, x: Any, y: Any) -> Any:
        if x != y:
            return None

        def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            return getattr(builder, name)(*args, flags=("reassoc", "nsz", "contract"))

        return x(x, y), generate

    return combine


r_sum, r_prod, r_max, r_min = _reassociable("fadd"), _reassociable("fmul"), w_max, w_min
"""The steps of reductions: their order is free, so that they run in vector lanes."""


@intrinsic
def bits(_typing: Any, x: Any) -> Any:
    """The bits of a float as an integer of its size, and back."""
    other = {
        types.float32: types.int32,
        types.float64: types.int64,
        types.int32: types.float32,
        types.int64: types.float64,
    }

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], _IR[other[x]])

    return other[x](x), generate


def _to_float(element: Any) -> Any:
    @intrinsic
    def convert(_typing: Any, x: Any) -> Any:
        def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            if x == types.boolean:
                return builder.uitofp(args[0], _IR[element])
            if isinstance(x, types.Integer):
                small = args[0] if x.bitwidth == 32 else builder.trunc(args[0], ir.IntType(32))
                return builder.sitofp(small, _IR[element])
            if x == element:
                return args[0]
            return (builder.fpext if element == types.float64 else builder.fptrunc)(args[0], _IR[element])

        return element(x), generate

    return convert


to_f32, to_f64 = _to_float(types.float32), _to_float(types.float64)


def _library(name: str, arity: int = 1) -> Any:
    """A function of the C library by its name (not vectorised)."""

    def body(kind: Any, builder: Any, args: Any) -> Any:
        symbol = name + ("f" if isinstance(kind, ir.FloatType) else "")
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind] * arity), symbol)
        return builder.call(function, args)

    @intrinsic
    def unary(_typing: Any, x: Any) -> Any:
        return x(x), lambda _context, builder, _signature, args: body(_IR[x], builder, args)

    @intrinsic
    def binary(_typing: Any, x: Any, y: Any) -> Any:
        return (x(x, y), lambda _context, builder, _signature, args: body(_IR[x], builder, args)) if x == y else None

    return unary if arity == 1 else binary


w_sin, w_cos, w_tan, w_asin, w_acos, w_atan = map(_library, ("sin", "cos", "tan", "asin", "acos", "atan"))
w_sinh, w_cosh, w_asinh, w_acosh, w_atanh = map(_library, ("sinh", "cosh", "asinh", "acosh", "atanh"))
w_fmod, w_pow = _library("fmod", 2), _library("pow", 2)


def word(function: Callable[..., Any]) -> Any:
    """A function that is always inlined and keeps its own arithmetic flags."""
    return njit(fastmath=FLAGS, error_model="numpy", forceinline=True)(function)


# ---------------------------------------------------------------- float32 and float64 elementary functions

_MAGIC32, _MAGIC64 = f32(12582912.0), f64(6755399441055744.0)  # adding it rounds to whole numbers
_LOG2E32, _LOG2E64 = f32(1.4426950408889634), f64(1.4426950408889634)
_HI32, _LO32 = f32(0.693359375), f32(-2.12194440e-4)
_HI64, _LO64 = f64(0.6931471803691238), f64(1.9082149292705877e-10)
_BIASED32 = f32(12582912.0 + 127)  # the sum's last bits are then the exponent of 2**n as a float stores it
_BIASED_TWICE32 = f32(12582912.0 + 254)  # the same for two factors


@word
def _tail32(r: Any) -> Any:
    """exp(r) - 1 for abs(r) <= log(2)/2; the relative error of 1 plus it is at most 3.3e-9 before rounding."""
    p = f32(1.3813145e-3)
    p = p * r + f32(8.3694188e-3)
    p = p * r + f32(4.1668456e-2)
    p = p * r + f32(1.66665152e-1)
    p = p * r + f32(4.9999994e-1)
    return p * (r * r) + r


@word
def _exponent32(biased: Any) -> Any:
    """The float whose exponent stands in the last bits (2**n for a biased n in 1..254)."""
    return bits(np.int32(biased << np.int32(23)))


@word
def _tail64(r: Any) -> Any:
    p = f64(1.0 / 6227020800.0)
    p = p * r + f64(1.0 / 479001600.0)
    p = p * r + f64(1.0 / 39916800.0)
    p = p * r + f64(1.0 / 3628800.0)
    p = p * r + f64(1.0 / 362880.0)
    p = p * r + f64(1.0 / 40320.0)
    p = p * r + f64(1.0 / 5040.0)
    p = p * r + f64(1.0 / 720.0)
    p = p * r + f64(1.0 / 120.0)
    p = p * r + f64(1.0 / 24.0)
    p = p * r + f64(1.0 / 6.0)
    p = p * r + f64(0.5)
    return p * (r * r) + r


@word
def _power32(n: Any) -> Any:
    """2**n for whole n in -126..127."""
    return bits(np.int32((n + np.int32(127)) << np.int32(23)))  # numba widens int32 sums


@word
def _power64(n: Any) -> Any:
    return bits((n + np.int64(1023)) << np.int64(52))


@word
def exp_f32(x: Any) -> Any:
    """exp(x); 8e-8 relative, gradual underflow, infinity above 88.72."""
    a = sel(x < f32(-104.0), f32(-104.0), x)
    c = sel(a > f32(89.0), f32(89.0), a)
    t = c * _LOG2E32 + _BIASED_TWICE32
    n = t - _BIASED_TWICE32
    r = (c - n * _HI32) - n * _LO32
    whole = bits(t)
    half = np.int32(whole >> np.int32(1))  # numba widens int32 sums
    first, second = _exponent32(half), _exponent32(np.int32(whole - half))
    return (_tail32(r) * first + first) * second


@word
def exp_f64(x: Any) -> Any:
    """exp(x); about one unit in the last place."""
    c = sel(x > f64(710.0), f64(710.0), sel(x < f64(-746.0), f64(-746.0), x))
    t = c * _LOG2E64 + _MAGIC64
    n = t - _MAGIC64
    r = (c - n * _HI64) - n * _LO64
    k = bits(t) - bits(_MAGIC64)
    half = k >> np.int64(1)
    return (_tail64(r) + f64(1.0)) * _power64(half) * _power64(k - half)


@word
def expm1_f32(x: Any) -> Any:
    """exp(x) - 1 without cancellation near 0."""
    c = sel(x > f32(89.0), f32(89.0), sel(x < f32(-20.0), f32(-20.0), x))
    t = c * _LOG2E32 + _MAGIC32
    n = t - _MAGIC32
    r = (c - n * _HI32) - n * _LO32
    k = np.int32(bits(t) - bits(_MAGIC32))
    half = np.int32(k >> np.int32(1))
    low, high = _power32(half), _power32(np.int32(k - half))
    y = (_tail32(r) * low + (low - _power32(np.int32(half - k)))) * high
    return sel(x == f32(0.0), x, y)


@word
def expm1_f64(x: Any) -> Any:
    """exp(x) - 1 without cancellation near 0."""
    c = sel(x > f64(710.0), f64(710.0), sel(x < f64(-40.0), f64(-40.0), x))
    t = c * _LOG2E64 + _MAGIC64
    n = t - _MAGIC64
    r = (c - n * _HI64) - n * _LO64
    k = bits(t) - bits(_MAGIC64)
    half = k >> np.int64(1)
    low, high = _power64(half), _power64(k - half)
    y = (_tail64(r) * low + (low - _power64(half - k))) * high
    return sel(x == f64(0.0), x, y)


@word
def log_f32(x: Any) -> Any:
    """log(x): -inf at 0, nan below."""
    small = x < f32(1.17549435e-38)
    b = bits(sel(small, x * f32(8388608.0), x))
    k = np.int32(np.int32(b - np.int32(0x3F3504F3)) >> np.int32(23))  # the mantissa then lies in [sqrt(1/2), sqrt(2))
    f = bits(np.int32(b - np.int32(k << np.int32(23)))) - f32(1.0)
    n = to_f32(k) - sel(small, f32(23.0), f32(0.0))
    s = f / (f32(2.0) + f)
    z = s * s
    p = f32(2.0 / 9.0)
    p = p * z + f32(2.0 / 7.0)
    p = p * z + f32(2.0 / 5.0)
    p = p * z + f32(2.0 / 3.0)
    h = f32(0.5) * f * f
    y = n * _HI32 - ((h - (s * (h + z * p) + n * _LO32)) - f)
    y = sel(x == f32(np.inf), x, y)
    y = sel(x == f32(0.0), f32(-np.inf), y)
    return sel(x < f32(0.0), f32(np.nan), sel(x == x, y, x))


@word
def log_f64(x: Any) -> Any:
    """log(x): -inf at 0, nan below."""
    small = x < f64(2.2250738585072014e-308)
    b = bits(sel(small, x * f64(4503599627370496.0), x))
    k = (b - np.int64(0x3FE6A09E667F3BCD)) >> np.int64(52)
    f = bits(b - (k << np.int64(52))) - f64(1.0)
    n = to_f64(k) - sel(small, f64(52.0), f64(0.0))
    s = f / (f64(2.0) + f)
    z = s * s
    p = f64(2.0 / 23.0)
    p = p * z + f64(2.0 / 21.0)
    p = p * z + f64(2.0 / 19.0)
    p = p * z + f64(2.0 / 17.0)
    p = p * z + f64(2.0 / 15.0)
    p = p * z + f64(2.0 / 13.0)
    p = p * z + f64(2.0 / 11.0)
    p = p * z + f64(2.0 / 9.0)
    p = p * z + f64(2.0 / 7.0)
    p = p * z + f64(2.0 / 5.0)
    p = p * z + f64(2.0 / 3.0)
    h = f64(0.5) * f * f
    y = n * _HI64 - ((h - (s * (h + z * p) + n * _LO64)) - f)
    y = sel(x == f64(np.inf), x, y)
    y = sel(x == f64(0.0), f64(-np.inf), y)
    return sel(x < f64(0.0), f64(np.nan), sel(x == x, y, x))


@word
def log1p_f32(x: Any) -> Any:
    """log(1 + x), exact near 0."""
    u = f32(1.0) + x
    c = (x - (u - f32(1.0))) / u
    usable = (u > f32(0.0)) & (u < f32(np.inf))
    return sel(x == f32(0.0), x, log_f32(u) + sel(usable, c, f32(0.0)))


@word
def log1p_f64(x: Any) -> Any:
    """log(1 + x), exact near 0."""
    u = f64(1.0) + x
    c = (x - (u - f64(1.0))) / u
    usable = (u > f64(0.0)) & (u < f64(np.inf))
    return sel(x == f64(0.0), x, log_f64(u) + sel(usable, c, f64(0.0)))


@word
def sigmoid_f32(x: Any) -> Any:
    """1 / (1 + exp(-x)); 0 below -88, where exp(-x) is about to overflow."""
    a = sel(x < f32(-88.0), f32(-88.0), x)
    c = sel(a > f32(87.0), f32(87.0), a)
    t = c * -_LOG2E32 + _BIASED32
    n = t - _BIASED32
    r = (-c - n * _HI32) - n * _LO32
    y = f32(1.0) / ((_tail32(r) + f32(1.0)) * _exponent32(bits(t)) + f32(1.0))
    return sel(x < f32(-88.0), f32(0.0), y)


@word
def tanh_f32(x: Any) -> Any:
    """tanh(x) = -e / (e + 2) with e = exp(-2 abs(x)) - 1, so that small x keep their digits."""
    y = f32(-2.0) * w_abs(x)
    c = sel(y < f32(-20.0), f32(-20.0), y)
    t = c * _LOG2E32 + _BIASED32
    n = t - _BIASED32
    r = (c - n * _HI32) - n * _LO32
    power = _exponent32(bits(t))
    e = _tail32(r) * power + (power - f32(1.0))
    return w_copysign(e / (e + f32(2.0)), x)


@word
def softplus_f32(x: Any) -> Any:
    """log(1 + exp(x)) = max(x, 0) + log1p(exp(-abs(x)))."""
    return w_max(x, f32(0.0)) + log1p_f32(exp_f32(-w_abs(x)))


@word
def sign_f32(x: Any) -> Any:
    """-1, 0 or 1; nan stays nan."""
    return sel(x > f32(0.0), f32(1.0), sel(x < f32(0.0), f32(-1.0), x))


@word
def mod_f32(x: Any, y: Any) -> Any:
    """Remainder with the sign of the divisor."""
    r = w_fmod(x, y)
    return sel((r != f32(0.0)) & ((r < f32(0.0)) != (y < f32(0.0))), r + y, r)


@word
def isfinite_f32(x: Any) -> Any:
    """Whether x is neither infinite nor nan."""
    return w_abs(x) < f32(np.inf)


@word
def sigmoid_f64(x: Any) -> Any:
    """1 / (1 + exp(-x)); 0 where exp(-x) overflows."""
    return f64(1.0) / (f64(1.0) + exp_f64(-x))


@word
def tanh_f64(x: Any) -> Any:
    """tanh(x) through expm1, so that small x keep their digits."""
    e = expm1_f64(f64(-2.0) * w_abs(x))
    return w_copysign(-e / (e + f64(2.0)), x)


@word
def softplus_f64(x: Any) -> Any:
    """log(1 + exp(x)) = max(x, 0) + log1p(exp(-abs(x)))."""
    return w_max(x, f64(0.0)) + log1p_f64(exp_f64(-w_abs(x)))


@word
def sign_f64(x: Any) -> Any:
    """-1, 0 or 1; nan stays nan."""
    return sel(x > f64(0.0), f64(1.0), sel(x < f64(0.0), f64(-1.0), x))


@word
def mod_f64(x: Any, y: Any) -> Any:
    """Remainder with the sign of the divisor."""
    r = w_fmod(x, y)
    return sel((r != f64(0.0)) & ((r < f64(0.0)) != (y < f64(0.0))), r + y, r)


@word
def isfinite_f64(x: Any) -> Any:
    """Whether x is neither infinite nor nan."""
    return w_abs(x) < f64(np.inf)


# ---------------------------------------------------------------- calls by address


def _call_word(result: Any, arguments: tuple[Any, ...]) -> Any:
    """A word that calls a C function by its address; pointers travel as int64."""

    def convert(builder: Any, value: Any, kind: Any) -> Any:
        if kind == "pointer":
            return builder.inttoptr(value, _BYTES)
        return builder.trunc(value, ir.IntType(32)) if kind == "int" else value

    kinds = {
        "pointer": _BYTES,
        "int": ir.IntType(32),
        "long": ir.IntType(64),
        "float": ir.FloatType(),
        "double": ir.DoubleType(),
    }
    outer = {"float": types.float32, "double": types.float64}
    foreign = ir.FunctionType(kinds[result] if result else ir.VoidType(), [kinds[a] for a in arguments])
    signature = types.int64(types.int64, *(outer.get(a, types.int64) for a in arguments))

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        function = builder.inttoptr(args[0], foreign.as_pointer())
        values = [convert(builder, v, k) for v, k in zip(args[1:], arguments, strict=True)]
        answer = builder.call(function, values)
        if result == "long":
            return answer
        return builder.sext(answer, ir.IntType(64)) if result == "int" else ir.Constant(ir.IntType(64), 0)

    # numba wants as many named parameters as the word is called with
    by_count: dict[int, Callable[..., Any]] = {
        0: lambda _typing, f: (signature, generate),
        2: lambda _typing, f, a, b: (signature, generate),
        4: lambda _typing, f, a, b, c, d: (signature, generate),
        14: lambda _typing, fn, o, ta, tb, m, n, k, al, a, lda, b, ldb, be, c, ldc: (signature, generate),
    }
    return intrinsic(by_count[len(arguments)])


call_kernel = _call_word(None, ("long", "long", "long", "long"))
call_run = _call_word("long", ("long", "long", "long", "long"))
call_execute = _call_word("int", ("pointer", "pointer", "int", "pointer"))
call_set_handle = _call_word("int", ("pointer", "pointer"))
call_parallel = _call_word(None, ("pointer", "pointer", "int", "int"))
call_int = _call_word("int", ())
call_void = _call_word(None, ())
call_clock = _call_word("int", ("int", "pointer"))
_INDEX = ("long",) * 3
call_sgemm = _call_word(
    None, ("int",) * 3 + _INDEX + ("float", "pointer", "long", "pointer", "long", "float", "pointer", "long")
)
call_dgemm = _call_word(
    None, ("int",) * 3 + _INDEX + ("double", "pointer", "long", "pointer", "long", "double", "pointer", "long")
)
call_sgemm32 = _call_word(None, ("int",) * 6 + ("float", "pointer", "int", "pointer", "int", "float", "pointer", "int"))
call_dgemm32 = _call_word(
    None, ("int",) * 6 + ("double", "pointer", "int", "pointer", "int", "double", "pointer", "int")
)

__all__ = [name for name in dir() if not name.startswith("_") and name not in ("annotations", "Any", "Callable", "ir")]
