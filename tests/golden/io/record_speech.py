"""Writes small HTK and MLF files into speech/ and records what CNTK 2.7 reads from them: run with the real CNTK (Python 3.6)
in this folder; writes speech.json."""
import json
import os
import struct

import cntk as C
import numpy as np
from cntk.io import (CBFDeserializer, HTKFeatureDeserializer, HTKMLFBinaryDeserializer, HTKMLFDeserializer, MinibatchSource,
                     StreamDef, StreamDefs)

os.chdir(os.path.dirname(os.path.abspath(__file__)))


def feature(path, frames):
    frames = np.asarray(frames, ">f4")
    with open(path, "wb") as f:
        f.write(struct.pack(">iihh", len(frames), 100000, 4 * frames.shape[1], 9) + frames.tobytes())


def text(path, words):
    with open(path, "w", newline="\n") as f:
        f.write(words)


feature("speech/u1.fea", [[0, 1], [2, 3], [4, 5], [6, 7]])
feature("speech/u2.fea", [[100, 101], [102, 103]])
feature("speech/u3.fea", [[-1, -2], [-3, -4], [-5, -6]])
text("speech/all.scp", "u1=speech/u1.fea[0,3]\nu2=speech/u2.fea[0,1]\nu3=speech/u3.fea[1,2]\n")
text("speech/states.txt", "a\nb\nc\n")
text("speech/all.mlf", '#!MLF!#\n"u1.lab"\n0 200000 a\n200000 400000 b\n.\n"*/u3.lab"\n0 100000 c\n100000 200000 a\n.\n'
     '"u2.lab"\n0 200000 b\n.\n')
runs = [(b"u1", [(0, 2), (1, 2)]), (b"u2", [(1, 2)]), (b"u3", [(2, 1), (0, 1)])]
with open("speech/all.bin", "wb") as f:
    f.write(b"MLF" + struct.pack("<h", 2))
    for name, pairs in runs:
        f.write(struct.pack("<H", len(name)) + name + struct.pack("<IH", sum(n for _, n in pairs), len(pairs)))
        for pair in pairs:
            f.write(struct.pack("<HH", *pair))


def scp(context=(0, 0), **more):
    return HTKFeatureDeserializer(StreamDefs(f=StreamDef(scp="speech/all.scp", shape=2, context=context, **more)))


def mlf(**more):
    return HTKMLFDeserializer("speech/states.txt", StreamDefs(l=StreamDef(mlf="speech/all.mlf", shape=3)), **more)


def binary():
    return HTKMLFBinaryDeserializer(StreamDefs(l=StreamDef(mlf="speech/all.bin", shape=3)))


CASES = [
    ("features and labels", lambda: [scp(), mlf()], {}),
    ("context", lambda: [scp((1, 2)), mlf()], {}),
    ("frame mode", lambda: [scp((1, 1)), mlf()], {"frame_mode": True}),
    ("phone boundaries", lambda: [scp(), mlf(phoneBoundaries=True)], {}),
    ("binary labels", lambda: [scp(), binary()], {}),
    ("mixed.bin", lambda: [CBFDeserializer("mixed.bin")], {}),
]
result = {}
for name, make, options in CASES:
    try:
        source = MinibatchSource(make(), randomize=False, max_sweeps=1, trace_level=0, **options)
        mb = source.next_minibatch(100)
        out = {}
        for info in source.stream_infos():
            dims = info.m_sample_layout.dimensions()
            variable = C.sequence.input_variable(dims, is_sparse=bool(info.m_storage_format))
            parts = mb[info].as_sequences(variable)
            out[info.m_name] = [np.asarray(p.todense() if hasattr(p, "todense") else p).tolist() for p in parts]
        result[name] = out
    except Exception as error:
        result[name] = type(error).__name__ + ": " + str(error).splitlines()[0][:200]
with open("speech.json", "w") as f:
    json.dump(result, f, indent=1, sort_keys=True)
os._exit(0)
