"""Reads a text file with a memory limit and prints the peak memory of the process after each half of four sweeps.

python lab_memory.py FILE LIMIT
"""

import json
import resource
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from cntk_lab.io import CTFDeserializer, MinibatchSource, StreamDef, StreamDefs

SWEEPS = 4


def peak() -> int:
    """Bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Read, print."""
    path, limit = sys.argv[1], int(sys.argv[2])
    deserializer = CTFDeserializer(path, StreamDefs(x=StreamDef(field="x", shape=512)))
    deserializer["chunkSizeInBytes"] = 4 << 20
    source = MinibatchSource(deserializer, max_sweeps=SWEEPS, memory_limit=limit)
    half, before, peaks = 65536 // 2, peak(), []
    while minibatch := source.next_minibatch(256):
        assert minibatch[source.streams.x].num_samples
        if source.current_position >= (len(peaks) + 1) * half:
            peaks.append(peak())
    print(json.dumps({"before": before, "peaks": peaks}))


if __name__ == "__main__":
    main()
