"""One engine, one workload, in a process of its own: builds the model, then runs steps for as long as the driver says.

    python benchmarks/serve.py ENGINE WORKLOAD [first]      ENGINE: lab, torch, compile, cntk

With ``first`` only the first step is done: one JSON object tells its seconds, and those until all is compiled.
Standard input: one number of seconds per line; standard output: one JSON object per line (first what was built, then
one per window with the seconds per step). Runs on Python 3.6 too, for CNTK 2.7. Knows nothing of the other engines.
"""

# ruff: noqa: PTH100, PTH120 (Python 3.6 runs this)
import json
import os
import resource
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import workloads  # noqa: E402


def _engine(name, workload, batches):
    if name in ("torch", "compile"):
        import torch
        from engines import torch_models

        return torch.__version__, torch_models.build(name == "compile", workload, batches), None
    from engines import cntk_models

    if name == "cntk":
        import cntk

        return cntk.__version__, cntk_models.build(cntk, workload, batches), None
    sys.path.insert(0, os.path.dirname(HERE))
    from engines import lab

    return lab.version(), cntk_models.build(lab.module(), workload, batches), lab.settle


def _warm(step, settle):
    """Steps until every minibatch was seen twice, what runs often is compiled, and half a second is over."""
    begin = time.perf_counter()
    for _ in range(2 * workloads.MINIBATCHES):
        step()
        if time.perf_counter() > begin + 20:
            break
    if settle is not None:
        settle()
    until = time.perf_counter() + 0.5
    while time.perf_counter() < until:
        step()


def main():
    """Serve until standard input ends."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    name, workload = sys.argv[1], workloads.WORKLOADS[sys.argv[2]]
    batches = workloads.minibatches(workload)
    version, step, settle = _engine(name, workload, batches)

    def tell(**what):
        out.write(json.dumps(what) + "\n")
        out.flush()

    start, busy = time.perf_counter(), time.process_time()
    step()
    first, first_cpu = time.perf_counter() - start, time.process_time() - busy
    if settle is not None:
        settle()
    if sys.argv[3:] == ["first"]:
        tell(version=version, first=first, first_cpu=first_cpu, compiled=time.perf_counter() - start)
        return
    _warm(step, settle)
    tell(version=version, first=first, first_cpu=first_cpu)
    for line in sys.stdin:
        seconds, steps = float(line), 0
        start, busy = time.perf_counter(), time.process_time()
        while True:
            step()
            steps += 1
            now = time.perf_counter()
            if now - start >= seconds:
                break
        tell(
            step=(now - start) / steps,
            cpu=(time.process_time() - busy) / steps,
            steps=steps,
            peak=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        )


if __name__ == "__main__":
    main()
