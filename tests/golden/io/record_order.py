"""Records the order in which CNTK 2.7 deals out sequences: run with the real CNTK (Python 3.6); writes order.json."""
import json
import os

import numpy as np
from cntk.io import MinibatchSource, StreamInformation, UserDeserializer


KEPT = []  # CNTK forgets them


class Chunks(UserDeserializer):
    def __init__(self, lengths):
        super(Chunks, self).__init__()
        self.infos = [StreamInformation("x", 0, "dense", np.float32, (1,))]
        self.lengths, self.first = lengths, np.concatenate([[0], np.cumsum([len(c) for c in lengths])])

    def stream_infos(self):
        return self.infos

    def num_chunks(self):
        return len(self.lengths)

    def get_chunk(self, chunk_id):
        chunk = chunk_id
        first = self.first[chunk]
        return {"x": [np.full((n, 1), first + i, np.float32) for i, n in enumerate(self.lengths[chunk])]}


def deal(lengths, size, count, partitions=None, **options):
    try:
        chunks = Chunks(lengths)
        KEPT.append(chunks)
        source = MinibatchSource([chunks], trace_level=0, **options)
        KEPT.append(source)
        out = []
        for _ in range(count):
            more = {} if partitions is None else {"num_data_partitions": partitions[0], "partition_index": partitions[1]}
            mb = source.next_minibatch(size, **more)
            if not mb:
                out.append(None)
                break
            data = mb[source.streams.x]
            first = [int(s.flatten()[0]) for s in data.asarray()]
            begins = np.asarray(data.data.mask)[:, 0].tolist() if data.data.masked_count() else None
            out.append([first, data.num_samples, data.end_of_sweep, begins])
        return out
    except Exception as error:
        return type(error).__name__ + ": " + str(error).splitlines()[0][:200]


ones = [[1] * 5 for _ in range(6)]
uneven = [[1] * n for n in (3, 7, 1, 5, 2, 8, 4)]
ragged = [[3, 1, 2], [4, 4], [1, 1, 1, 1], [6, 2]]
result = []
for name, lengths in (("ones", ones), ("uneven", uneven), ("ragged", ragged)):
    for options in (
        {"randomize": False}, {"randomize": True}, {"randomization_window_in_chunks": 1}, {"randomization_window_in_chunks": 2},
        {"randomization_window_in_chunks": 3}, {"randomization_window_in_chunks": 4, "randomization_seed": 5},
        {"randomization_window_in_chunks": 0, "randomization_window_in_samples": 6},
        {"randomization_window_in_chunks": 0, "randomization_window_in_samples": 12}, {"randomize": False, "max_sweeps": 2},
        {"randomize": False, "max_samples": 7}, {"randomize": True, "max_samples": 7}, {"randomize": True, "max_sweeps": 1},
    ):
        for size in (4, 7):
            result.append({"lengths": lengths, "options": options, "size": size, "partitions": None,
                           "got": deal(lengths, size, 20, None, **options)})
    for options in ({"randomize": False, "max_sweeps": 2}, {"randomize": True, "max_sweeps": 2}):
        for partitions in ((2, 0), (2, 1), (3, 2)):
            result.append({"lengths": lengths, "options": options, "size": 4, "partitions": partitions,
                           "got": deal(lengths, 4, 20, partitions, **options)})
    for truncation in (2, 3):
        for size in (2, 4, 6, 7):
            options = {"randomize": False, "max_sweeps": 2, "truncation_length": truncation}
            result.append({"lengths": lengths, "options": options, "size": size, "partitions": None,
                           "got": deal(lengths, size, 20, None, **options)})
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "order.json"), "w") as f:
    json.dump(result, f, indent=0, sort_keys=True)
os._exit(0)
