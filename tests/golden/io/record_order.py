"""Records the order in which CNTK 2.7 deals out the sequences of order_*.bin: run with the real CNTK (Python 3.6); writes
order.json. Each sequence's frames hold its number in the file."""
import json
import os

import cntk as C
import numpy as np
from cntk.io import CBFDeserializer, MinibatchSource

HERE = os.path.dirname(os.path.abspath(__file__))


def deal(name, size, count, partitions=None, **options):
    try:
        source = MinibatchSource(CBFDeserializer(os.path.join(HERE, "order_%s.bin" % name)), trace_level=0, **options)
        out = []
        for _ in range(count):
            more = {} if partitions is None else {"num_data_partitions": partitions[0], "partition_index": partitions[1]}
            mb = source.next_minibatch(size, **more)
            if not mb:
                out.append(None)
                break
            data = mb[source.streams.x]
            parts = data.as_sequences(C.sequence.input_variable(1))
            begins = np.asarray(data.data.mask)[:, 0].tolist() if data.data.masked_count() else None
            out.append([[int(p[0][0]) for p in parts], [len(p) for p in parts], data.num_samples, data.end_of_sweep, begins])
        return out
    except Exception as error:
        return type(error).__name__ + ": " + str(error).splitlines()[0][:200]


result = []


def add(name, size, partitions=None, **options):
    got = deal(name, size, 16, partitions, **options)
    result.append({"file": name, "options": options, "size": size, "partitions": partitions, "got": got})


for name in ("one", "ones", "uneven", "ragged", "many"):
    for size in (4, 7):
        add(name, size, randomize=False)
        add(name, size, randomize=True)
        for window in (1, 2, 3, 4, 5):
            add(name, size, randomization_window_in_chunks=window)
        add(name, size, randomization_window_in_chunks=4, randomization_seed=5)
        for window in (6, 12):
            add(name, size, randomization_window_in_chunks=0, randomization_window_in_samples=window)
        add(name, size, randomize=False, max_sweeps=2)
        add(name, size, randomize=True, max_sweeps=2)
        add(name, size, randomize=False, max_samples=7)
        add(name, size, randomize=True, max_samples=7)
    for partitions in ((2, 0), (2, 1), (3, 2)):
        add(name, 4, partitions, randomize=False, max_sweeps=2)
        add(name, 4, partitions, randomize=True, max_sweeps=2)
    for truncation in (2, 3):
        for size in (2, 4, 6, 7):
            add(name, size, randomize=False, max_sweeps=2, truncation_length=truncation)
with open(os.path.join(HERE, "order.json"), "w") as f:
    json.dump(result, f, indent=0, sort_keys=True)
os._exit(0)
