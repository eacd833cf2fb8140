"""The words of formulas in CUDA C++, and the few functions that every generated source starts with.

Everything is written without headers: NVRTC knows mathematics, shuffles and barriers by itself.
``max``, ``min`` and ``sign`` pass a nan on and ``mod`` has the sign of its divisor, as the NumPy tier does.
"""

from __future__ import annotations

from typing import Final

INFIX: Final = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
COMPARISONS: Final = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}
BINARY_CALLS: Final = {
    "pow": "word_pow",
    "min": "join_min",
    "max": "join_max",
    "mod": "word_mod",
    "logical_and": "word_and",
    "logical_or": "word_or",
}
_DIRECT: Final = (
    *("exp", "log", "sqrt", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh"),
    *("atanh", "expm1", "log1p", "floor", "ceil"),
)
UNARY_CALLS: Final = {
    "neg": "-",
    "abs": "word_fabs",
    "sigmoid": "word_sigmoid",
    "softplus": "word_softplus",
    "sign": "word_sign",
    "logical_not": "word_not",
    "isfinite": "word_isfinite",
    **{word: f"word_{word}" for word in _DIRECT},
}

_COMMON: Final = """
typedef unsigned short half_bits;

static __device__ __forceinline__ real flag(bool b) { return b ? real(1) : real(0); }
static __device__ __forceinline__ real word_not(real x) { return flag(x == real(0)); }
static __device__ __forceinline__ real word_and(real x, real y) { return flag(x != real(0) && y != real(0)); }
static __device__ __forceinline__ real word_or(real x, real y) { return flag(x != real(0) || y != real(0)); }
static __device__ __forceinline__ real word_isfinite(real x) { return flag(x - x == real(0)); }
static __device__ __forceinline__ real word_sign(real x) { return x != x ? x : flag(x > real(0)) - flag(x < real(0)); }
static __device__ __forceinline__ real word_sigmoid(real x) { return real(1) / (real(1) + word_exp(-x)); }
static __device__ __forceinline__ real word_softplus(real x) {
  return (x > real(0) ? x : real(0)) + word_log1p(word_exp(-word_fabs(x)));
}
static __device__ __forceinline__ real word_mod(real x, real y) {
  const real r = word_fmod(x, y);
  return r != real(0) && (r < real(0)) != (y < real(0)) ? r + y : r;
}
static __device__ __forceinline__ real join_sum(real x, real y) { return x + y; }
static __device__ __forceinline__ real join_prod(real x, real y) { return x * y; }
static __device__ __forceinline__ real join_max(real x, real y) { return x > y || x != x ? x : y; }
static __device__ __forceinline__ real join_min(real x, real y) { return x < y || x != x ? x : y; }

static __device__ __forceinline__ real load(const float* p, int i) { return real(p[i]); }
static __device__ __forceinline__ real load(const double* p, int i) { return real(p[i]); }
static __device__ __forceinline__ real load(const half_bits* p, int i) { return real(float_of_half(p[i])); }
static __device__ __forceinline__ void store(float* p, int i, real x) { p[i] = float(x); }
static __device__ __forceinline__ void store(double* p, int i, real x) { p[i] = double(x); }
static __device__ __forceinline__ void store(half_bits* p, int i, real x) { p[i] = half_of_float(float(x)); }
"""

_HALF: Final = """
static __device__ __forceinline__ float float_of_half(unsigned short h) {
  float f;
  asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(h));
  return f;
}
static __device__ __forceinline__ unsigned short half_of_float(float f) {
  unsigned short h;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(f));
  return h;
}
"""


def prelude(real: str) -> str:
    """The definitions that a source of arithmetic type ``real`` (float or double) starts with.

    A reduction by ``warp_*`` and ``block_*`` hands the result to every thread; ``lanes_*<width>`` combines the threads
    of a block whose numbers differ by multiples of ``width`` and hands the result to the first of them. The order of
    the additions is fixed. Defining ``HALF_BY_HOST`` beforehand replaces the conversions of float16.
    """
    suffix = "f" if real == "float" else ""
    infinite, nan = (
        ("__int_as_float(0x7f800000)", "__int_as_float(0x7fffffff)")
        if real == "float"
        else ("__longlong_as_double(0x7ff0000000000000LL)", "__longlong_as_double(0x7fffffffffffffffLL)")
    )
    words = "".join(
        f"static __device__ __forceinline__ real word_{w}(real x) {{ return {w}{suffix}(x); }}\n"
        for w in (*_DIRECT, "fabs")
    )
    words += "".join(
        f"static __device__ __forceinline__ real word_{w}(real x, real y) {{ return {w}{suffix}(x, y); }}\n"
        for w in ("pow", "fmod")
    )
    return (
        f"typedef {real} real;\n#define INFINITE {infinite}\n#define NOT_A_NUMBER {nan}\n{words}"
        f"#ifndef HALF_BY_HOST{_HALF}#endif\n{_COMMON}" + "".join(_reductions(k) for k in ("sum", "prod", "max", "min"))
    )


def _reductions(kind: str) -> str:
    return f"""
static __device__ __forceinline__ real warp_{kind}(real x) {{
  for (int step = 16; step > 0; step /= 2) x = join_{kind}(x, __shfl_xor_sync(0xffffffffu, x, step));
  return x;
}}
static __device__ __forceinline__ real block_{kind}(real x) {{
  __shared__ real warps[32];
  x = warp_{kind}(x);
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = x;
  __syncthreads();
  x = warps[0];
  for (int w = 1; w < (int)(blockDim.x / 32); ++w) x = join_{kind}(x, warps[w]);
  __syncthreads();
  return x;
}}
template <int width> static __device__ __forceinline__ real lanes_{kind}(real x) {{
  __shared__ real all[256];
  all[threadIdx.x] = x;
  __syncthreads();
  for (int half = 128; half >= width; half /= 2) {{
    if ((int)threadIdx.x < half) all[threadIdx.x] = join_{kind}(all[threadIdx.x], all[threadIdx.x + half]);
    __syncthreads();
  }}
  x = all[threadIdx.x];
  __syncthreads();
  return x;
}}
"""
