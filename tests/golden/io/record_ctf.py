"""Records what CNTK 2.7 reads from small text files: run with the real CNTK (Python 3.6); writes ctf.json."""
import json
import os
import tempfile

import cntk as C
import numpy as np
from cntk.io import CTFDeserializer, MinibatchSource, StreamDef, StreamDefs

A, B = {"field": "a", "shape": 2}, {"field": "b", "shape": 3, "is_sparse": True}
BOTH = {"a": A, "b": B}
LINES = [
    "|a 1 2 |b 0:1", " |a 1 2 |b 0:1", "\t|a 1 2 |b 0:1", "|a 1 2|b 0:1", "|a\t1\t2\t|b\t0:1\t", "|b 0:1 |a 1 2",
    "0|a 1 2 |b 0:1", "0 |a 1 2 |b 0:1", "0\t|a 1 2 |b 0:1", "  7 |a 1 2 |b 0:1", "-1 |a 1 2 |b 0:1",
    "x |a 1 2 |b 0:1", "1.5 |a 1 2 |b 0:1", "0 1 |a 1 2 |b 0:1", "99999999999999999999 |a 1 2 |b 0:1", "0",
    "18446744073709551615 |a 1 2 |b 0:1", "007 |a 1 2 |b 0:1",
    "", " ", "|", "||", "|a", "|a |b 0:1", "|a 1 |b 0:1", "|a 1 2 3 |b 0:1", "|a 1 2 |b", "|a 1 2 |b ", "|a 1 2",
    "|b 0:1", "|a 1 2 |b 0:1 |c 5", "|c x:y z |a 1 2 |b 0:1", "|a 1 2 |b 0:1 |a 3 4", "|aa 1 2 |b 0:1", "|A 1 2 |b 0:1",
    "|a 1 2 |# hello |b 0:1", "|# hello |a 1 2 |b 0:1", "|#hello |a 1 2 |b 0:1", "|a 1 2 |b 0:1 |#", "# |a 1 2 |b 0:1",
    "|a 1 2 |# x #| y |b 0:1", "|a 1 2 # |b 0:1", "|a 1 2 |b 0:1 #", "|a 1 2 junk |b 0:1", "|a 1,2 |b 0:1",
    "|a 1 2 |b 2:1", "|a 1 2 |b 3:1", "|a 1 2 |b -1:1", "|a 1 2 |b 0:1 0:2", "|a 1 2 |b 2:1 0:5", "|a 1 2 |b 0 :1",
    "|a 1 2 |b 0: 1", "|a 1 2 |b :1", "|a 1 2 |b 0:", "|a 1 2 |b 0", "|a 1 2 |b 1.0:1", "|a 1 2 |b 0:1:2",
    "|a 1 2 |b 0:1,", "|a 1 2 |b +0:1", "|a 1 2 |b 0:1 1:2 2:3", "|a 0:1 |b 0:1", "| a 1 2 |b 0:1", "|a1 2 |b 0:1",
    "|a 1 2 | b 0:1", "|a 1 2 |b\t\t0:1", "|a  1   2 |b 0:1  1:2", "|a 1\r2 |b 0:1", "|a 1 2 |b 0:1\r", "|a 1\x0b2 |b 0:1",
    "|a 1 2 |b 0:1 |", "|a 1 2 |b 0:1 | ", "|a 1 2 | |b 0:1", "|a 1 2 |b 0:0", "|a 1 2 |b 4294967296:1", "|a 1 2\x00 |b 0:1",
    "|a 1 2 |\xe9 3 |b 0:1", "|a 1 2 \xe9 |b 0:1",
]
NUMBERS = [
    "1", "+3", "-4", "1.", "1.5", "-1.5e2", "1e3", "1E+2", "1e-3", "00012", ".25", "-.5", "0x1", "nan", "inf", "-", "+", "1e",
    "1e+", "1.5.2", "1..2", "1e5.0", "1.e3", "--1", "1-", "1e400", "1e-400", "12345678901234567890", "0.1", "0.3333333333333333",
    "3.14159265358979323846264338327950288", "16777217", "1e38", "4e38", "0.000000000000000000000000000001", "-0", "1f", "1e10e2",
    "123456789.123456789", "1e-45", "7.038531e-26", "9007199254740993", "2.5e-8", "33554435", "1 000", "99999999999999999999e-19",
]
FILES = [
    ("ids", BOTH, "0 |a 1 2 |b 0:1\n0 |a 3 4 |b 2:5\n1 |a 5 6 |b 1:1\n", 9),
    ("no ids", BOTH, "|a 1 2 |b 0:1\n|a 3 4 |b 2:5\n", 9),
    ("mixed", BOTH, "0 |a 1 2 |b 0:1\n|a 3 4 |b 1:1\n|a 5 6 |b 1:1\n1 |a 7 8 |b 2:1\n", 9),
    ("mixed starting without", BOTH, "|a 1 2 |b 0:1\n0 |a 3 4 |b 1:1\n0 |a 5 6 |b 1:1\n|a 7 8 |b 2:1\n", 9),
    ("reappearing", BOTH, "0 |a 1 2 |b 0:1\n0 |a 3 4 |b 2:5\n1 |a 5 6 |b 1:1\n0 |a 7 8 |b 1:1\n", 9),
    ("decreasing", BOTH, "5 |a 1 2 |b 0:1\n3 |a 3 4 |b 2:5\n", 9),
    ("uneven", BOTH, "0 |a 1 2 |b 0:1\n0 |a 3 4\n0 |a 5 6\n1 |a 7 8 |b 2:1\n", 9),
    ("streams on other lines", BOTH, "0 |a 1 2\n0 |b 0:1\n1 |a 7 8\n1 |b 2:1\n2 |a 7 9 |b 2:1\n", 2),
    ("a stream missing in a sequence", BOTH, "0 |a 1 2\n1 |a 7 8 |b 2:1\n2 |a 7 9 |b 2:1\n", 9),
    ("a stream missing everywhere", BOTH, "0 |a 1 2\n1 |a 7 8\n", 9),
    ("comment lines", BOTH, "0 |# first\n0 |a 1 2 |b 0:1\n0 |a 3 4 |b 2:5\n|# last\n1 |a 7 8 |b 2:1\n", 3),
    ("crlf", BOTH, "0 |a 1 2 |b 0:1\r\n0 |a 3 4 |b 2:5\r\n1 |a 5 6 |b 1:1\r\n", 9),
    ("no newline at the end", BOTH, "0 |a 1 2 |b 0:1\n1 |a 5 6 |b 1:1", 9),
    ("byte order mark", BOTH, "\ufeff0 |a 1 2 |b 0:1\n1 |a 5 6 |b 1:1\n", 9),
    ("empty file", BOTH, "", 9),
    ("only a newline", BOTH, "\n", 9),
    ("empty last lines", BOTH, "|a 1 2 |b 0:1\n\n", 9),
    ("defines minibatch", {"a": A, "b": dict(B, defines_mb_size=True)}, "0 |a 1 2 |b 0:1\n0 |a 3 4\n0 |a 5 6\n1 |a 7 8 |b 2:1\n", 1),
    ("two aliases of one field", {"u": A, "v": A}, "0 |a 1 2 |b 0:1\n", 9),
    ("name is not the field", {"other": {"field": "a", "shape": 2}}, "0 |a 1 2 |b 0:1\n", 9),
]


def read(text, streams, samples, minibatches=3, **options):
    handle, path = tempfile.mkstemp(".ctf")
    with os.fdopen(handle, "wb") as f:
        f.write(text.encode("utf-8"))
    try:
        defs = StreamDefs(**{k: StreamDef(**v) for k, v in streams.items()})
        options.setdefault("randomize", False)
        options.setdefault("max_sweeps", 1)
        source = MinibatchSource(CTFDeserializer(path, defs), trace_level=0, **options)
        infos = {i.m_name: i for i in source.stream_infos()}
        found = []
        for _ in range(minibatches):
            mb = source.next_minibatch(samples)
            if not mb:
                break
            out = {}
            for name, info in infos.items():
                data = mb[info]
                variable = C.sequence.input_variable(info.m_sample_layout.dimensions(), is_sparse=bool(info.m_storage_format))
                parts = [np.asarray(p.todense() if hasattr(p, "todense") else p).tolist() for p in data.as_sequences(variable)]
                out[name] = {"sequences": parts, "shape": list(data.shape), "end": data.end_of_sweep,
                             "num_sequences": data.num_sequences, "num_samples": data.num_samples,
                             "mask": np.asarray(data.data.mask).tolist() if data.data.masked_count() else None}
            found.append(out)
        return {"minibatches": found}
    except Exception as error:
        return {"error": type(error).__name__ + ": " + str(error).splitlines()[0].replace(path, "FILE")[:200]}
    finally:
        os.unlink(path)


result = {"lines": [], "numbers": [], "files": []}
for line in LINES:
    text = "|a 9 9 |b 1:1\n" + line + "\n|a 8 8 |b 2:1\n"
    result["lines"].append({"line": line, "got": read(text, BOTH, 9)})
for number in NUMBERS:
    result["numbers"].append({"number": number, "got": read("|a " + number + " 2\n", {"a": A}, 9)})
for name, streams, text, samples in FILES:
    result["files"].append({"name": name, "streams": streams, "text": text, "samples": samples, "got": read(text, streams, samples)})
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "ctf.json"), "w") as f:
    json.dump(result, f, indent=1, sort_keys=True)
