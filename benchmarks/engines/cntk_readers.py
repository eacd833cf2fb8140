"""One sweep over a text file by one reader, in a process of its own: the same program for CNTK 2.7 and CNTK Lab.

    python cntk_readers.py MODULE KIND FILE MINIBATCH CACHE     MODULE: cntk or cntk_lab; KIND: dense or sparse

Prints one JSON object: seconds until the source is open, seconds of the first sweep and of a second one, samples, and
the sum of the first minibatch's values times their places (both engines have the same order, so it must agree).
Runs on Python 3.6 too. CACHE 1 allows the engine to keep and use its index of the file.
"""

import json
import os
import resource
import sys
import time

import numpy as np

SHAPES = {
    "dense": {"labels": (10, False), "features": (784, False)},
    "sparse": {"S0": (943, True), "S1": (26, True), "S2": (129, True)},
}


def opened(io, kind, path, cached, sweeps):
    """A source over the file."""
    streams = {
        name: io.StreamDef(field=name, shape=dim, is_sparse=sparse) for name, (dim, sparse) in SHAPES[kind].items()
    }
    deserializer = io.CTFDeserializer(path, io.StreamDefs(**streams))
    deserializer["cacheIndex"] = cached
    return io.MinibatchSource(deserializer, randomize=True, max_sweeps=sweeps)


def fingerprint(lab, kind, path):
    """A number that depends on every value of the first minibatch and on its place."""
    source = opened(lab.io, kind, path, False, 1)
    minibatch = source.next_minibatch(64)
    total = 0.0
    for name, (dim, sparse) in sorted(SHAPES[kind].items()):
        variable = lab.sequence.input_variable(dim, is_sparse=sparse)
        for k, rows in enumerate(minibatch[source.streams[name]].as_sequences(variable)):
            values = np.asarray(rows.todense() if hasattr(rows, "todense") else rows, np.float64).ravel()
            total += (k + 1) * float(np.dot(values, np.arange(1, len(values) + 1)))
    return total


def main():
    """Measure, print."""
    module, kind, path, size, cache = sys.argv[1:6]
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # CNTK writes about itself to standard output
    if module == "cntk":
        import cntk as lab
    else:
        sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
        import cntk_lab as lab
    with open(path, "rb") as file:  # into the system's cache: both engines find it there
        while file.read(1 << 24):
            pass
    small = path + ".small"
    if not os.path.exists(small):
        with open(path, "rb") as file, open(small, "wb") as head:
            head.writelines(file.readline() for _ in range(1000))
    opened(lab.io, kind, small, False, 1).next_minibatch(64)  # libraries and kernels are loaded
    busy, start = time.process_time(), time.perf_counter()
    source = opened(lab.io, kind, path, cache == "1", 2)
    times = [time.perf_counter() - start]
    stream = source.streams["features" if kind == "dense" else "S0"]
    samples, spent = 0, []
    while True:
        minibatch = source.next_minibatch(int(size))
        if not minibatch:
            break
        data = minibatch[stream]
        samples += data.num_samples
        if data.end_of_sweep:
            times.append(time.perf_counter() - start - sum(times))
            spent.append(time.process_time() - busy - sum(spent))
    out.write(
        json.dumps(
            {
                "open": times[0],
                "first": times[1],
                "second": times[2],
                "samples": samples,
                "cpu_first": spent[0],
                "cpu_second": spent[1],
                "checked": fingerprint(lab, kind, path),
                "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                "version": lab.__version__,
            }
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
