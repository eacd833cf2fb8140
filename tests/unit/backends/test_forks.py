"""Forked children compute; one process compiles for all of them, and none is left behind when a program ends."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from cntk_lab.backends.cpu import jit, threads

native = pytest.mark.skipif(not jit.available() or not hasattr(os, "fork"), reason="no native code, or no fork")
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
pytestmark = pytest.mark.timeout(280)

MODEL = """
import os, sys, time, signal, warnings, multiprocessing
import numpy as np
import cntk_lab as C
from cntk_lab.backends.cpu import jit, threads
threads.set_num_threads(2)
x = C.input_variable(128)
f = C.layers.Sequential([C.layers.Dense(256, C.tanh), C.layers.Dense(96)])(x)
i = C.input_variable((3, 16, 16))
g = C.layers.Convolution2D((3, 3), 8, pad=True, activation=C.relu)(i)
rng = np.random.default_rng(0)
rows, pictures = rng.standard_normal((300, 128)).astype("f"), rng.standard_normal((20, 3, 16, 16)).astype("f")
with C.settings.option(native=False):
    right = f.eval({x: rows}), g.eval({i: pictures})

def check(times=4):
    for _ in range(times):
        np.testing.assert_allclose(f.eval({x: rows}), right[0], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(g.eval({i: pictures}), right[1], rtol=1e-3, atol=1e-4)
    return 1

def learn():
    y, w = C.input_variable(3), C.parameter(3, init=0)
    trainer = C.Trainer(None, C.reduce_sum(y * w), C.sgd([w], 1.0, minibatch_size=1))
    for _ in range(6):
        trainer.train_minibatch({y: np.ones((2, 3), "f")})
    assert w.value.tolist() == [-12] * 3
    return 1

def fork(work):
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            print("child:", repr(error)[:400], flush=True)
            os._exit(1)
        os._exit(0)
    return child

def warm():
    check(4)
    jit.finish(200)
    check(4)
"""


@pytest.fixture
def place():
    """A folder with a short name: sockets in it have names of less than 100 letters."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def run(code, folder, seconds=200, **more):
    """What a program prints, with a folder for its kernels and its meeting place of its own."""
    environment = {**os.environ, "TMPDIR": str(folder), "PYTHONWARNINGS": "ignore", **more}
    done = subprocess.run(
        [sys.executable, "-c", MODEL + code],
        check=False,
        capture_output=True,
        text=True,
        timeout=seconds,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@native
def test_twenty_children_forked_after_native_runs_on_two_threads_finish_with_right_numbers(place):
    code = """
warm()
children = [fork(lambda: (check(), learn())) for _ in range(20)]
print(sum(os.waitpid(child, 0)[1] == 0 for child in children))
check()
"""
    assert run(code, place).split() == ["20"]


@native
def test_a_child_forked_from_a_thread_beside_others_that_compute_finishes(place):
    code = """
import threading
warm()
end, found = threading.Event(), []
def busy():
    while not end.is_set():
        check(1)
def forks():
    for _ in range(4):
        found.append(os.waitpid(fork(lambda: (check(), learn())), 0)[1])
beside = [threading.Thread(target=busy) for _ in range(3)]
for t in beside: t.start()
forking = threading.Thread(target=forks)
forking.start(); forking.join(); end.set()
for t in beside: t.join()
print(found)
"""
    assert run(code, place).strip() == "[0, 0, 0, 0]"


@native
def test_a_childs_child_computes(place):
    code = """
warm()
def deeper():
    check()
    assert os.waitpid(fork(check), 0)[1] == 0
print(os.waitpid(fork(deeper), 0)[1])
"""
    assert run(code, place).strip() == "0"


@native
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pools_of_processes_compute(place, method):
    program = place / "program.py"
    program.write_text(
        MODEL
        + f"""
def work(_):
    return check() + learn()
if __name__ == "__main__":
    warm()
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        print(sum(pool.map(work, range(6))))
"""
    )
    environment = {**os.environ, "TMPDIR": str(place), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, str(program)], check=False, capture_output=True, text=True, timeout=250, env=environment
    )
    assert done.stdout.split() == ["12"], done.stderr


@native
def test_a_reader_goes_on_in_a_forked_child(place):
    (place / "data.txt").write_text("".join(f"|x {n}\n" for n in range(2000)))
    code = """
streams = C.io.StreamDefs(x=C.io.StreamDef(field="x", shape=1))
found = C.io.CTFDeserializer(os.environ["TMPDIR"] + "/data.txt", streams)
source = C.io.MinibatchSource(found, randomize=False, max_sweeps=1)
def numbers(count):
    return source.next_minibatch(count)[source.streams.x].asarray().ravel().tolist()
assert numbers(10) == list(range(10))
def rest():
    for first in range(10, 2000, 10):
        assert numbers(10) == list(range(first, first + 10))
print(os.waitpid(fork(rest), 0)[1])
rest()
"""
    assert run(code, place).strip() == "0"


@native
def test_without_a_way_to_end_the_pool_a_child_computes_on_numpy(place):
    code = """
class Old:  # libgomp before GCC 9
    def __init__(self, library):
        for name in "omp_set_num_threads GOMP_parallel GOMP_barrier omp_get_thread_num omp_get_num_threads".split():
            setattr(self, name, getattr(library, name))
warm()
old = Old(threads.gomp())
threads.gomp = lambda: old
def work():
    assert not C.settings.flag("native")
    check(); learn()
print(os.waitpid(fork(work), 0)[1])
"""
    assert run(code, place).strip() == "0"


# ---- the process that compiles


def compilers(folder):
    """Numbers of the processes that compile and meet in a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"TMPDIR={folder}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                words = (entry / "cmdline").read_bytes()
                if b'"function": "serve"' in words:
                    found.append(int(entry.name))
        except OSError:
            continue
    return found


COUNT = """
from pathlib import Path
def compilers():
    found = 0
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes()
            mine = ("TMPDIR=" + os.environ["TMPDIR"]).encode() in (entry / "environ").read_bytes().split(b"\\0")
        except OSError:
            continue
        found += mine and b'"function": "ser' + b've"' in words  # which is not found in these words themselves
    return found
def kernels(start, count):
    source = "def kernel(block, thread, threads, phase):\\n    st_i64(block, 0, {}, 0)\\n"
    return [jit.request(source.format(n)) for n in range(start, start + count)]
"""


@native
@linux
def test_forked_children_share_one_compiling_process_even_after_it_was_killed(place):
    code = (
        COUNT
        + """
first = kernels(0, 1)
assert first[0].wait(200)
own = jit._compiler().child
def work():
    assert all(h.wait(200) for h in kernels(10, 3))   # the same in all children
    assert compilers() <= 1, compilers()
children = [fork(work) for _ in range(6)]
pending = kernels(100, 2)
os.kill(own, signal.SIGKILL)                           # whoever notices first starts another one
print([os.waitpid(child, 0)[1] for child in children], all(h.wait(200) for h in pending), compilers() <= 1)
"""
    )
    assert run(code, place, CNTK_LAB_CACHE=str(place / "cache")).strip() == "[0, 0, 0, 0, 0, 0] True True"


@native
@linux
def test_what_was_being_compiled_when_a_process_forked_is_compiled_for_its_child(place):
    code = (
        COUNT
        + """
pending = kernels(0, 4)
def work():
    assert all(h.wait(200) for h in pending)
print(os.waitpid(fork(work), 0)[1], all(h.wait(200) for h in pending))
"""
    )
    assert run(code, place, CNTK_LAB_CACHE=str(place / "cache")).strip() == "0 True"


ENDS = {
    "end": "",
    "exception": "raise SystemExit(3)",
    "no clean-up": "os._exit(0)",
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "killed beside a child": "fork(lambda: time.sleep(30)); os.kill(os.getpid(), signal.SIGKILL)",
}


@native
@linux
@pytest.mark.parametrize("way", ENDS)
def test_a_program_ends_at_once_in_the_middle_of_compiling_and_leaves_no_compiler(place, way):
    code = COUNT + f"assert kernels(0, 1)[0].wait(200)\nkernels(1, 40)\nprint('last', flush=True)\n{ENDS[way]}\n"
    environment = {**os.environ, "TMPDIR": str(place), "CNTK_LAB_CACHE": str(place / "cache")}
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", MODEL + code], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout.readline() == "last\n"
        started = time.monotonic()
        process.wait(60)
        took = time.monotonic() - started
    while compilers(place) and time.monotonic() - started < 20:
        os.sched_yield()
    left = compilers(place)
    for entry in Path("/proc").iterdir():  # the child that slept beside
        if entry.name.isdigit():
            try:
                if f"TMPDIR={place}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                    os.kill(int(entry.name), signal.SIGKILL)
            except OSError:
                continue
    assert not left
    assert took < 3  # 0.1 s where nothing else runs; it was 8 to 16 while a kernel was compiled


@native
@linux
def test_an_interrupt_from_the_terminal_reaches_the_program_and_not_its_compiler(place):
    code = (
        COUNT
        + """
pending = kernels(0, 6)
try:
    os.killpg(0, signal.SIGINT)
    time.sleep(10)
except KeyboardInterrupt:
    print("interrupted", all(h.wait(200) for h in pending), compilers())
"""
    )
    environment = {**os.environ, "TMPDIR": str(place), "CNTK_LAB_CACHE": str(place / "cache")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MODEL + code],
        check=False, capture_output=True, text=True, timeout=250, env=environment, start_new_session=True,
    )  # fmt: skip
    assert done.stdout.split() == ["interrupted", "True", "1"], done.stderr


def test_without_child_processes_a_thread_compiles(monkeypatch):
    from cntk_lab.backends.cpu import compiling

    def refused(*given, **more):
        raise OSError("no processes here")

    monkeypatch.setattr(compiling.subprocess, "Popen", refused)
    told = []
    made = compiling.Compiler(lambda job: {"key": job["key"], "object": "here"}, told.append, ("a", "b"), "none")
    made.submit({"key": "k"})
    made._sender.join(0.01)
    while not told:
        made._sender.join(0.01)
    assert told == [{"key": "k", "object": "here"}]
    assert threads.get_num_threads() >= 1
