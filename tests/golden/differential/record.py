"""Records what real CNTK 2.7 computes for programs: ``cntk27 record.py PROGRAMS FOLDER`` writes ``programs.jsonl`` and ``recorded.npz``.

Each group of programs runs in a child, since some programs end CNTK's process. A program that CNTK refuses is kept with
the exception's types where the program asks for it (``"refused": true``) and is left out otherwise; so is one that ends the process.
"""

import json
import os
import sys
import warnings

import cntk
import numpy as np
import programs

GROUP = 40


def seen(program):
    """What CNTK sees of a program, as a line of text and vectors of numbers."""
    observations, refused = programs.outcome(cntk, program)
    if refused is not None:
        return {"error": [refused[0], programs.kinds_of(refused[1])], "why": str(refused[1]).strip().split("\n")[0][:160]}, []
    texts, vectors = [], []
    for times in observations:
        first = times[0]
        same = all(
            t.text == first.text and len(t.arrays) == len(first.arrays)
            and all(np.allclose(a, b, 1e-5, 1e-7, equal_nan=True) for a, b in zip(t.arrays, first.arrays)) for t in times
        )  # fmt: skip
        kept = times[:1] if same else times
        texts.append([[t.text, [list(a.shape) for a in t.arrays]] for t in kept])
        vectors += [a for t in kept for a in t.arrays]
    return {"seen": texts}, vectors


def child(group, path):
    """Records a group of programs, one file each, as far as the process lives."""
    for number, program in group:
        line, vectors = seen(program)
        letter = "f8" if program.get("type", "f4") == "f8" else "f4"
        vector = np.concatenate([np.asarray(v, letter).reshape(-1) for v in vectors]) if vectors else np.zeros(0, letter)
        line["program"] = program
        np.save("%s/%d.npy" % (path, number), vector)
        with open("%s/%d.tmp" % (path, number), "w") as file:
            json.dump(line, file, separators=(",", ":"))
        os.rename("%s/%d.tmp" % (path, number), "%s/%d.json" % (path, number))


def in_children(drawn, path):
    """All programs, in children; the numbers of those that ended their process."""
    dead, todo = [], list(enumerate(drawn))
    while todo:
        group = todo[:GROUP]
        sys.stdout.flush()
        pid = os.fork()
        if not pid:
            try:
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, 2)
                child(group, path)
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        missing = [n for n, _ in group if not os.path.exists("%s/%d.json" % (path, n))]
        if missing:
            dead.append(missing[0])
            todo = [t for t in todo if t[0] > missing[0]]
        else:
            todo = todo[GROUP:]
    return dead


def main(source, folder):
    warnings.simplefilter("ignore")
    with open(source) as file:
        drawn = [json.loads(line) for line in file]
    work = folder + "/work"
    os.makedirs(work)
    dead = in_children(drawn, work)
    lines, single, double, refused = [], [], [], 0
    for number, program in enumerate(drawn):
        if number in dead:
            print("ended the process:", number, program["family"])
            continue
        with open("%s/%d.json" % (work, number)) as file:
            line = json.load(file)
        vector = np.load("%s/%d.npy" % (work, number))
        if "error" in line:
            refused += 1
        (double if vector.dtype == np.float64 else single).append(vector)
        lines.append(line)
    with open(folder + "/programs.jsonl", "w") as file:
        for line in lines:
            file.write(json.dumps(line, separators=(",", ":")) + "\n")
    np.savez_compressed(folder + "/recorded.npz", f4=np.concatenate(single + [np.zeros(0, "f4")]), f8=np.concatenate(double + [np.zeros(0, "f8")]))
    print(len(lines), "programs recorded of", len(drawn), "refused by CNTK:", refused)


if __name__ == "__main__":
    main(*sys.argv[1:])
