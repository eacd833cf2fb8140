"""Everything to ask of a GPU at its first use, in one call of under ten minutes.

    python benchmarks/gpu_check.py [--seconds 0.3] [--output benchmarks/results]

Prints and writes a table: versions and ceilings, generated kernels against NumPy with their bandwidth, CUDA graphs
(does a replay equal the eager run, and what does a node cost), which libraries answer, the tests marked ``gpu``, and a
training step of a perceptron against PyTorch. A check that cannot run says why in its line; the others go on. The
script ends with status 1 if a check found a wrong number or a test failed, with status 2 if there is no GPU.
"""

from __future__ import annotations

import argparse
import ctypes
import datetime as dt
import importlib.metadata
import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from cntk_lab.backends import choose  # noqa: E402
from cntk_lab.device import DeviceDescriptor, DeviceKind  # noqa: E402
from cntk_lab.formula import expr as X  # noqa: E402
from cntk_lab.formula.expr import ROWS, input_, reduce  # noqa: E402
from cntk_lab.formula.kernel import Kernel, Operand  # noqa: E402
from cntk_lab.formula.print_numpy import numpy_function  # noqa: E402
from cntk_lab.formula.simplify import simplify  # noqa: E402
from tests.unit.formula.kernel_table import TABLE, TOLERANCE, arrays_for  # noqa: E402

Line = tuple[str, str, bool]
"""What was asked, the answer, and whether it is as it must be."""


class Bench:
    """One GPU and the way times are taken on it."""

    def __init__(self, seconds: float) -> None:
        self.gpu = choose.backend_of(DeviceDescriptor(DeviceKind.GPU, 0))
        self.cupy: Any = self.gpu.xp
        self.seconds = seconds

    def time(self, run: Callable[[], object]) -> float:
        """Seconds per call, by events around as many calls as fit; the best of five."""
        run()
        self.gpu.synchronize()
        start, stop = self.cupy.cuda.Event(), self.cupy.cuda.Event()
        count, best = 1, float("inf")
        while True:
            start.record()
            for _ in range(count):
                run()
            stop.record()
            stop.synchronize()
            elapsed = self.cupy.cuda.get_elapsed_time(start, stop) / 1e3
            best = min(best, elapsed / count)
            if elapsed > self.seconds / 5:
                break
            count *= 2
        for _ in range(4):
            start.record()
            for _ in range(count):
                run()
            stop.record()
            stop.synchronize()
            best = min(best, self.cupy.cuda.get_elapsed_time(start, stop) / 1e3 / count)
        return best

    def captured(self, run: Callable[[], object]) -> tuple[Any, Any]:
        """A stream and a CUDA graph of one call of ``run``, warmed up twice before."""
        stream = self.cupy.cuda.Stream(non_blocking=True)
        with stream:
            run()
            run()
            stream.synchronize()
            stream.begin_capture()
            try:
                run()
            finally:
                graph = stream.end_capture()
        return stream, graph

    def graph_time(self, run: Callable[[], object]) -> float:
        """Seconds per replay of the graph of ``run``."""
        stream, graph = self.captured(run)
        with stream:
            return self.time(lambda: graph.launch(stream))


# ---------------------------------------------------------------- the checks


def versions(bench: Bench) -> Iterator[Line]:
    """What is installed, and what the GPU is."""
    runtime = bench.cupy.cuda.runtime
    properties = runtime.getDeviceProperties(0)
    memory = properties["totalGlobalMem"] / 2**30
    yield "GPU", f"{properties['name'].decode()}, {memory:.0f} GiB, {properties['multiProcessorCount']} SMs", True
    yield "driver, runtime", f"{runtime.driverGetVersion()}, {runtime.runtimeGetVersion()}", True
    yield "NVRTC", ".".join(map(str, bench.cupy.cuda.nvrtc.getVersion())), True
    for name in ("cupy-cuda12x", "cupy-cuda13x", "nvidia-cudnn-frontend", "nvmath-python", "torch", "numpy"):
        try:
            yield name, importlib.metadata.version(name), True
        except importlib.metadata.PackageNotFoundError:
            yield name, "not installed", True


def ceilings(bench: Bench) -> Iterator[Line]:
    """What the machine can do at best: copies and products."""
    cupy = bench.cupy
    a = cupy.ones(2**28, "float32")
    b = cupy.empty_like(a)
    yield "copy of 1 GiB", f"{2 * a.nbytes / bench.time(lambda: cupy.copyto(b, a)) / 1e9:.0f} GB/s", True
    n = 8192
    for dtype, tf32 in (("float64", False), ("float32", False), ("float32", True), ("float16", False)):
        from cntk_lab.backends.cuda.backend import choose_products

        choose_products(cupy, tf32=tf32)
        m = cupy.ones((n, n), dtype)
        out = cupy.empty_like(m)
        seconds = bench.time(lambda m=m, out=out: cupy.matmul(m, m, out=out))
        yield f"product {n}, {dtype}{' as TF32' if tf32 else ''}", f"{2 * n**3 / seconds / 1e12:.0f} TFLOP/s", True
    choose_products(cupy, tf32=False)


def kernels(bench: Bench) -> Iterator[Line]:
    """Every kernel of the table against NumPy."""
    for name, kernel in TABLE.items():
        arrays = arrays_for(kernel, 1000 if kernel.rows else 1)
        expected = [np.array(a) for a in numpy_function(kernel)(np, *(a.copy() for a in arrays))]
        found = bench.gpu.kernel(kernel)(bench.cupy, *map(bench.gpu.to_device, arrays))
        worst = 0.0
        for got, want in zip(map(bench.gpu.to_host, found), expected, strict=True):
            same = (got == want) | (np.isnan(got) & np.isnan(want))
            scale = max(1.0, float(np.nan_to_num(abs(want), posinf=0, nan=0).max()))
            with np.errstate(all="ignore"):
                error = np.where(same, 0, abs(got.astype("float64") - want)) / scale
            worst = max(worst, float(np.nan_to_num(error, nan=np.inf).max()))
        yield f"kernel {name}", f"largest error {worst:.1e}", worst < 20 * TOLERANCE[kernel.dtype]


def bandwidth(bench: Bench) -> Iterator[Line]:
    """Bytes per second of the three families on large arrays, and of the array tier beside them."""
    x, y = input_("x"), input_("y")
    e = X.exp(x - reduce("max", x, [-1]))
    families = {
        "map: sigmoid(x) * y + x": ((1024,), (1024,), True, X.sigmoid(x) * y + x, 3),
        "row: softmax of 1024 + 0 y": ((1024,), (1024,), True, e / reduce("sum", e, [-1]) + y, 3),
        "row: softmax of 9000 + 0 y": ((9000,), (9000,), True, e / reduce("sum", e, [-1]) + y, 3),
        "column: sum of x * y": ((1024,), (1024,), False, reduce("sum", x * y, [ROWS]), 2),
        "column: sum of everything": ((1024,), (1,), False, reduce("sum", x * y, [ROWS, -1]), 2),
    }
    for name, (domain, shape, rows_out, formula, streams) in families.items():
        rows = 2**26 // domain[0]
        inputs = (Operand("x", domain, rows=True), Operand("y", domain, rows=True))
        kernel = Kernel(domain, True, inputs, ((Operand("z", shape, rows_out), formula),))
        arrays = [bench.cupy.ones((rows, *domain), "float32") for _ in inputs]
        moved = streams * arrays[0].nbytes
        functions = (bench.gpu.kernel(kernel), numpy_function(kernel))
        generated, plain = (bench.time(lambda f=f, a=arrays: f(bench.cupy, *a)) for f in functions)
        yield name, f"{moved / generated / 1e9:.0f} GB/s (array tier {moved / plain / 1e9:.0f})", True


def graphs(bench: Bench) -> Iterator[Line]:
    """Capture: a replay computes what the eager run computes; the cost of a node; whether products can be captured."""
    operand = Operand("p", (1024,), rows=False)
    kernel = Kernel((1024,), False, (operand,), ((operand, input_("p") + 1.0),), in_place=(("p", "p"),))
    add = bench.gpu.kernel(kernel)
    array = bench.cupy.zeros((1, 1024), "float32")
    eager = bench.time(lambda: add(bench.cupy, array))
    yield "one small kernel, eager", f"{eager * 1e6:.1f} us", True
    for nodes in (10, 100, 1000):
        seconds = bench.graph_time(lambda n=nodes: [add(bench.cupy, array) for _ in range(n)])
        yield f"graph of {nodes} small kernels", f"{seconds / nodes * 1e6:.2f} us per node", True
    array[...] = 0
    stream, graph = bench.captured(lambda: add(bench.cupy, array))
    with stream:
        before = float(array[0, 0])
        for _ in range(10):
            graph.launch(stream)
        stream.synchronize()
        after = float(array[0, 0])
    yield "10 replays add 10", f"{before:g} -> {after:g}", after == before + 10
    m = bench.cupy.ones((64, 64), "float32")
    out = bench.cupy.empty_like(m)
    try:
        bench.captured(lambda: bench.cupy.matmul(m, m, out=out))
        yield "cuBLAS through CuPy while capturing", "allowed", True
    except NotImplementedError as error:
        yield "cuBLAS through CuPy while capturing", f"refused: {error}", True


def libraries(bench: Bench) -> Iterator[Line]:  # noqa: ARG001
    """Which of NVIDIA's libraries answer; the versions they report."""
    for title, patterns, function in (
        ("cuDNN", ("libcudnn.so.9",), "cudnnGetVersion"),
        ("cuBLASLt", ("libcublasLt.so.13", "libcublasLt.so.12"), "cublasLtGetVersion"),
    ):
        spec = importlib.util.find_spec("nvidia")
        folders = [Path(p) for p in (spec.submodule_search_locations or ())] if spec else []
        candidates = [str(f) for p in patterns for d in folders for f in d.glob(f"*/lib/{p}")] + list(patterns)
        answer = f"not found ({', '.join(patterns)})"
        for candidate in candidates:
            try:
                version = getattr(ctypes.CDLL(candidate), function)
            except OSError:
                continue
            version.restype = ctypes.c_size_t
            answer = f"version {version()}"
            break
        yield title, answer, True
    found = importlib.util.find_spec("cudnn") is not None
    yield "cuDNN's Python frontend", "importable" if found else "not installed: pip install nvidia-cudnn-frontend", True


def marked_tests(bench: Bench) -> Iterator[Line]:  # noqa: ARG001
    """The tests marked ``gpu``."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=400)
    lines = done.stdout.strip().splitlines()
    for line in lines:
        if line.startswith(("FAILED", "ERROR")):
            yield "test", line, False
    yield "pytest -m gpu", lines[-1] if lines else done.stderr[-300:], done.returncode == 0


# ---------------------------------------------------------------- a training step


class Perceptron:
    """784-400-200-10 by hand: products of CuPy, generated kernels for everything between them."""

    SIZES = (784, 400, 200, 10)

    def __init__(self, bench: Bench, batch: int) -> None:
        rng = np.random.default_rng(0)
        self.rate = 0.05 / batch
        put, self.xp, self.bench = bench.gpu.to_device, bench.cupy, bench
        pairs = list(zip(self.SIZES, self.SIZES[1:], strict=False))
        self.w = [put(rng.normal(size=p, scale=p[0] ** -0.5).astype("float32")) for p in pairs]
        self.b = [put(np.zeros((1, n), "float32")) for _, n in pairs]
        self.state = [self.xp.zeros_like(a) for a in (*self.w, *self.b)]
        self.x = put(rng.normal(size=(batch, 784)).astype("float32"))
        self.t = put(np.eye(10, dtype="float32")[rng.integers(0, 10, batch)])
        self.loss = self.xp.zeros((1, 1), "float32")
        self.hidden = [self._hidden(n) for n in self.SIZES[1:-1]]
        self.last = self._loss()
        self.update = {a.shape: self._update(a.shape) for a in (*self.w, *self.b)}

    def _hidden(self, n: int) -> tuple[Any, Any]:
        z, b, dy = map(input_, ("z", "b", "dy"))
        y = X.maximum(z + b, 0.0)
        forward = Kernel(
            (n,), True, (Operand("z", (n,), True), Operand("b", (n,), False)), ((Operand("y", (n,), True), y),)
        )
        dz = X.where(input_("y") > 0.0, dy, 0.0)
        inputs = (Operand("dy", (n,), True), Operand("y", (n,), True))
        outputs = ((Operand("dz", (n,), True), dz), (Operand("db", (n,), False), reduce("sum", dz, [ROWS])))
        return self.bench.gpu.kernel(forward), self.bench.gpu.kernel(Kernel((n,), True, inputs, outputs))

    def _loss(self) -> tuple[Any, Any]:
        z, b, t = map(input_, ("z", "b", "t"))
        top = reduce("max", z + b, [-1])
        total = X.log(reduce("sum", X.exp(z + b - top), [-1])) + top
        loss = reduce("sum", t * (total - z - b), [-1])
        (dz,) = simplify([X.exp(z + b - total) - t])
        inputs = (Operand("z", (10,), True), Operand("b", (10,), False), Operand("t", (10,), True))
        outputs = ((Operand("loss", (1,), True), loss), (Operand("dz", (10,), True), dz))
        sums = ((Operand("db", (10,), False), reduce("sum", input_("dz"), [ROWS])),)
        row = Kernel((10,), True, inputs, outputs)
        return self.bench.gpu.kernel(row), self.bench.gpu.kernel(
            Kernel((10,), True, (Operand("dz", (10,), True),), sums)
        )

    def _update(self, shape: tuple[int, ...]) -> Any:
        p, g, v = map(input_, ("p", "g", "v"))
        new = v * 0.9 + g
        operands = tuple(Operand(n, shape, rows=False) for n in ("p", "g", "v"))
        outputs = ((operands[0], p - new * self.rate), (operands[2], new))
        return self.bench.gpu.kernel(Kernel(shape, False, operands, outputs, in_place=(("p", "p"), ("v", "v"))))

    def step(self) -> None:
        """Forward, backward and update."""
        xp, values = self.xp, [self.x]
        for w, b, (forward, _) in zip(self.w, self.b, self.hidden, strict=False):
            values.append(forward(xp, values[-1] @ w, b)[0])
        self.loss, dz = self.last[0](xp, values[-1] @ self.w[-1], self.b[-1], self.t)
        gradients = [(values[-1].T @ dz, self.last[1](xp, dz)[0])]
        for i in range(len(self.hidden) - 1, -1, -1):
            dz, db = self.hidden[i][1](xp, dz @ self.w[i + 1].T, values[i + 1])
            gradients.insert(0, (values[i].T @ dz, db))
        flat = [g for g, _ in gradients] + [g for _, g in gradients]
        for p, g, v in zip((*self.w, *self.b), flat, self.state, strict=True):
            self.update[p.shape](xp, p[None], g[None], v[None])


def training_step(bench: Bench) -> Iterator[Line]:
    """The perceptron with momentum against PyTorch on the same GPU."""
    for batch in (64, 4096):
        model = Perceptron(bench, batch)
        model.step()
        first = float(model.loss.mean())
        ours = bench.time(model.step)
        last = float(model.loss.mean())
        yield f"perceptron, batch {batch}: loss falls", f"{first:.3f} -> {last:.3f}", last < first
        yield f"perceptron, batch {batch}, eager", f"{ours * 1e6:.0f} us per step", True
        yield f"perceptron, batch {batch}, PyTorch eager", _torch_step(batch, bench.seconds), True


def _torch_step(batch: int, seconds: float) -> str:
    if importlib.util.find_spec("torch") is None:
        return "PyTorch is not installed"
    import torch

    if not torch.cuda.is_available():
        return "this PyTorch has no CUDA"
    layers = [
        torch.nn.Linear(784, 400),
        torch.nn.ReLU(),
        torch.nn.Linear(400, 200),
        torch.nn.ReLU(),
        torch.nn.Linear(200, 10),
    ]
    model = torch.nn.Sequential(*layers).cuda()
    learner = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9, foreach=True)
    x, t = torch.randn(batch, 784, device="cuda"), torch.randint(0, 10, (batch,), device="cuda")

    def step() -> None:
        learner.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(model(x), t, reduction="sum").backward()
        learner.step()

    for _ in range(10):
        step()
    torch.cuda.synchronize()
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        for _ in range(10):
            step()
        torch.cuda.synchronize()
        count += 10
    return f"{(time.perf_counter() - start) / count * 1e6:.0f} us per step"


# ---------------------------------------------------------------- the table

CHECKS = (versions, ceilings, kernels, bandwidth, graphs, libraries, training_step, marked_tests)


def main() -> int:
    """Run every check, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=0.3, help="time spent on each measurement")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    what, fix = choose.gpu_obstacle()
    if what:
        print(f"no GPU to check: {what}\n  fix:   {fix}")
        return 2
    bench = Bench(options.seconds)
    lines: list[Line] = []
    for check in CHECKS:
        start = time.perf_counter()
        title = (check.__doc__ or check.__name__).splitlines()[0]
        print(f"\n{title}")
        found: list[Line] = []
        try:
            for line in check(bench):
                print(f"  {'    ' if line[2] else 'BAD '}{line[0]:55} {line[1]}", flush=True)
                found.append(line)
        except Exception as error:  # noqa: BLE001 - one check must not take the others with it; its line is marked bad
            found.append((check.__name__, f"ended by {type(error).__name__}: {error}", False))
            print(f"  BAD {found[-1][1]}")
        lines += [(f"**{title}**", f"{time.perf_counter() - start:.1f} s", True), *found]
    rows = [f"| {name} | {value.replace('|', '/')} | {'' if good else 'BAD'} |" for name, value, good in lines]
    day = dt.datetime.now(dt.UTC).date().isoformat()
    options.output.mkdir(parents=True, exist_ok=True)
    file = options.output / f"gpu-{day}.md"
    file.write_text("\n".join([f"# GPU check, {day}", "", "| check | answer | |", "|---|---|---|", *rows, ""]))
    print(f"\nwritten to {file}")
    return 0 if all(good for *_, good in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
