"""Two ways to check CUDA C++ without a GPU: NVRTC compiles it, and the host's C++ compiler runs it.

On the host a block is a set of threads with barriers, blocks run one after the other, and a shuffle is an exchange
through memory between two barriers of its warp. That is slow and exact.
"""

import ctypes
import ctypes.util
import importlib.util
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

HOST = r"""
#include <cmath>
#include <cstring>
#include <cstdint>
#include <memory>
#include <mutex>
#include <condition_variable>
#include <thread>
#include <vector>
using namespace std;
struct Barrier {
  explicit Barrier(int n) : count(n) {}
  void wait() {
    unique_lock<mutex> hold(m);
    const int now = phase;
    if (++arrived == count) { arrived = 0; ++phase; turn.notify_all(); }
    else turn.wait(hold, [&] { return phase != now; });
  }
  int count, arrived = 0, phase = 0;
  mutex m;
  condition_variable turn;
};
struct Index { int x = 0, y = 0; };
static thread_local Index threadIdx, blockIdx;
static Index blockDim, gridDim;
static Barrier* block_barrier;
static vector<unique_ptr<Barrier>> warp_barriers;
static double exchange[1024];
static void __syncthreads() { block_barrier->wait(); }
template <class T> static T __shfl_xor_sync(unsigned, T x, int step) {
  Barrier& warp = *warp_barriers[threadIdx.x / 32];
  exchange[threadIdx.x] = x;
  warp.wait();
  const T got = (T)exchange[threadIdx.x ^ step];
  warp.wait();
  return got;
}
static float __int_as_float(int i) { float f; memcpy(&f, &i, 4); return f; }
static double __longlong_as_double(long long i) { double f; memcpy(&f, &i, 8); return f; }
#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__ static
#define HALF_BY_HOST
static float float_of_half(unsigned short h) {
  const int e = h >> 10 & 31, m = h & 1023;
  const float f = e == 31 ? (m ? NAN : INFINITY) : e ? ldexp(1.0f + m / 1024.0f, e - 15) : ldexp((float)m, -24);
  return h >> 15 ? -f : f;
}
static unsigned short half_of_float(float f) {
  const unsigned short s = signbit(f) ? 0x8000 : 0;
  f = fabs(f);
  if (f != f) return 0x7e00;
  if (f < 6.103515625e-05f) return s | (unsigned short)nearbyint(ldexp(f, 24));
  int e;
  const int m = (int)nearbyint(ldexp(frexp(f, &e), 11));
  if (e > 16 || (e == 16 && m == 2048)) return s | 0x7c00;
  return s | (unsigned short)(((e + 13) << 10) + m);
}
"""

RUN = r"""
extern "C" void run_@NAME@(void** p, int rows, int chunks, int gx, int gy, int block, int barriers) {
  gridDim = {gx, gy};
  blockDim = {block, 1};
  block_barrier = new Barrier(block);
  warp_barriers.clear();
  for (int w = 0; w < (block + 31) / 32; ++w) warp_barriers.emplace_back(new Barrier(32));
  for (int by = 0; by < gy; ++by) for (int bx = 0; bx < gx; ++bx) {
    auto one = [&](int t) { threadIdx = {t, 0}; blockIdx = {bx, by}; @NAME@(@ARGUMENTS@); };
    if (!barriers) { for (int t = 0; t < block; ++t) one(t); continue; }
    vector<thread> threads;
    for (int t = 0; t < block; ++t) threads.emplace_back(one, t);
    for (auto& t : threads) t.join();
  }
  delete block_barrier;
}
"""


def run_on_host(kernel, source, arrays, rows, folder):
    """The outputs of a printed kernel, computed by the host's C++ compiler from the text that NVRTC gets."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler (g++ or clang++) to run the printed source with")
    types = {"float32": "float", "float64": "double", "float16": "half_bits"}
    operands = [*kernel.inputs, *(o for o, _ in kernel.outputs)]
    arguments = [f"({types[o.dtype]}*)p[{i}]" for i, o in enumerate(operands)]
    arguments += [f"(real*)p[{len(operands)}]", "rows", "chunks"]
    options = ["-std=c++17", "-O0", "-ffp-contract=off", "-fPIC", "-pthread", "-w"]
    header = Path(folder).parent / "host.h"  # the same for all kernels: compiled once for a run of the tests
    if not header.exists():
        header.write_text(HOST)
        subprocess.run([compiler, *options, "-x", "c++-header", str(header)], check=True)
    text = '#include "../host.h"\n' + source.code
    for launch in source.launches:
        text += RUN.replace("@NAME@", launch.name).replace("@ARGUMENTS@", ", ".join(arguments))
    file, library = Path(folder, "kernel.cpp"), Path(folder, "kernel.so")
    file.write_text(text)
    subprocess.run([compiler, *options, "-shared", str(file), "-o", str(library)], check=True)
    loaded = ctypes.CDLL(str(library))
    arrays = [np.array(a) for a in arrays]
    in_place = dict(kernel.in_place)
    names = [o.name for o in kernel.inputs]
    outputs = [
        arrays[names.index(in_place[o.name])]
        if o.name in in_place
        else np.full((rows if o.rows else 1, *o.shape), 77, o.dtype)
        for o, _ in kernel.outputs
    ]
    scratch = np.full(max(1, source.scratch), np.nan, source.dtype)
    memory = [*arrays, *outputs, scratch]
    pointers = (ctypes.c_void_p * len(memory))(*(a.ctypes.data for a in memory))
    for launch in source.launches:
        gx, gy = launch.grid(rows)
        if gx:
            function = getattr(loaded, f"run_{launch.name}")
            function(pointers, rows, launch.chunks(rows), gx, gy, launch.block, int(launch.needs_barriers))
    return outputs


def nvrtc():
    """The NVRTC library of the pip wheel, or of the system; skips where there is none."""
    found = importlib.util.find_spec("nvidia")
    places = [Path(p) for p in (found.submodule_search_locations or ())] if found else []
    files = [f for p in places for f in sorted(p.glob("*/lib/libnvrtc.so.*")) if "builtins" not in f.name]
    name = str(files[0]) if files else ctypes.util.find_library("nvrtc")
    if name is None:
        pytest.skip("no NVRTC to compile CUDA C++ with: pip install nvidia-cuda-nvrtc-cu12")
    return ctypes.CDLL(name)


def compile_cubin(library, code, architecture):
    """Compile CUDA C++ for an architecture such as ``sm_90``; returns the machine code or raises with NVRTC's log."""
    program = ctypes.c_void_p()
    library.nvrtcCreateProgram(ctypes.byref(program), code.encode(), b"kernel.cu", 0, None, None)
    options = [f"--gpu-architecture={architecture}".encode(), b"--std=c++17", b"--fmad=true"]
    status = library.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    size = ctypes.c_size_t()
    if status:
        library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        library.nvrtcGetProgramLog(program, log)
        raise AssertionError(log.value.decode())
    library.nvrtcGetCUBINSize(program, ctypes.byref(size))
    cubin = ctypes.create_string_buffer(size.value)
    library.nvrtcGetCUBIN(program, cubin)
    library.nvrtcDestroyProgram(ctypes.byref(program))
    return cubin.raw
