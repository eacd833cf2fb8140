"""CNTK's text format: the same minibatches as CNTK, the same faults found by both parsers, every fault named."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from cntk_lab.errors import LabWarning, ReaderError
from cntk_lab.io import CTFDeserializer, MinibatchSource, StreamDef, StreamDefs, _ctf_native
from cntk_lab.io._ctf import parse_lines
from cntk_lab.io._ctf_index import line_starts
from cntk_lab.io._ctf_lines import BadLine, Field, parse

GOLDEN = json.loads((Path(__file__).parents[2] / "golden/io/ctf.json").read_text())
BOTH = {"a": {"field": "a", "shape": 2}, "b": {"field": "b", "shape": 3, "is_sparse": True}}
FIELDS = [Field(b"a", "a", 2, False), Field(b"b", "b", 3, True)]

# what CNTK takes by accident: characters it does not look at (it drops bytes below 33, signs of them included)
STRICTER = {"|a 1 2\x00 |b 0:1", "|a 1 2 é |b 0:1"}
# what CNTK refuses and means nothing wrong: names beyond ASCII, "1.e3", lines of comments, streams on own lines
MILDER = {"|a 1 2 |é 3 |b 0:1", "1.e3", "comment lines", "streams on other lines"}


@pytest.fixture(params=["readable", "native"])
def parser(request, monkeypatch):
    if request.param == "native":
        if not _ctf_native.jit.available():
            pytest.skip("numba is not installed")
        assert _ctf_native._handle().wait(120), _ctf_native._handle().failure
    monkeypatch.setattr(_ctf_native, "ready", lambda size: request.param == "native")
    return request.param


def read(path, text, streams, samples):
    path.write_bytes(text.encode("utf-8"))
    defs = StreamDefs(**{name: StreamDef(**d) for name, d in streams.items()})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LabWarning)
        source = MinibatchSource(CTFDeserializer(str(path), defs), randomize=False, max_sweeps=1, prefetch=0)
        found = []
        while minibatch := source.next_minibatch(samples):
            found.append({info.name: describe(data) for info, data in minibatch.items()})
    return found


def describe(data):
    mask = data.mask
    return {
        "sequences": [np.asarray(p.todense() if hasattr(p, "todense") else p).tolist() for p in data.as_sequences()],
        "shape": list(data.shape),
        "end": data.end_of_sweep,
        "num_sequences": data.num_sequences,
        "num_samples": data.num_samples,
        "mask": mask.tolist() if (mask == 0).any() else None,
    }


CASES = [
    *((c["line"], BOTH, f"|a 9 9 |b 1:1\n{c['line']}\n|a 8 8 |b 2:1\n", 9, c["got"]) for c in GOLDEN["lines"]),
    *((c["number"], {"a": BOTH["a"]}, f"|a {c['number']} 2\n", 9, c["got"]) for c in GOLDEN["numbers"]),
    *((c["name"], c["streams"], c["text"], c["samples"], c["got"]) for c in GOLDEN["files"]),
]


@pytest.mark.parametrize(("name", "streams", "text", "samples", "cntk"), CASES, ids=[repr(c[0]) for c in CASES])
def test_files_read_as_cntk_reads_them(name, streams, text, samples, cntk, tmp_path, parser):
    bad = ("error" in cntk and name not in MILDER) or name in STRICTER
    if bad:
        with pytest.raises((ReaderError, ValueError)):
            read(tmp_path / "data.txt", text, streams, samples)
        return
    found = read(tmp_path / "data.txt", text, streams, samples)
    if name in MILDER:
        assert found
    elif name == "7.038531e-26" and parser == "native":  # the hardest rounding there is: one float32 step is allowed
        value = found[0]["a"]["sequences"][0][0][0]
        assert value == pytest.approx(cntk["minibatches"][0]["a"]["sequences"][0][0][0], rel=2e-7)
    else:
        assert found == cntk["minibatches"]


def test_the_two_parsers_agree_on_any_line():
    if not _ctf_native.jit.available():
        pytest.skip("numba is not installed")
    assert _ctf_native._handle().wait(120)
    random = np.random.default_rng(5)
    pieces = ["|a ", "|b ", "|a", "|c ", "|#", "1", "2.5", "-3e2", "0:1", "2:-1.5", "3:1", " ", "  ", "\t", "7", ":",
              ".", "x", "e5", "+", "\r", "|", "12 ", "0 ", "1e", "1.e3", "00"]  # fmt: skip
    lines = ["".join(random.choice(pieces, random.integers(0, 12))).encode() for _ in range(1100)]
    text = b"\n".join(lines) + b"\n"
    ends = np.cumsum([len(line) + 1 for line in lines])
    native, readable = _ctf_native.parse(text, ends, len(lines), FIELDS), parse_lines(text, ends, FIELDS)
    assert native.bad == readable.bad
    bad = set(np.searchsorted(np.concatenate([[0], ends[:-1]]), readable.bad).tolist())
    assert 500 < len(bad) < 1000
    good = [line for k, line in enumerate(lines) if k not in bad]
    text, ends = b"\n".join(good) + b"\n", np.cumsum([len(line) + 1 for line in good])
    native, readable = _ctf_native.parse(text, ends, len(good), FIELDS), parse_lines(text, ends, FIELDS)
    assert native.bad == readable.bad == []
    assert native.short == readable.short
    assert (native.lengths == readable.lengths).all()
    np.testing.assert_array_equal(native.rows[0], readable.rows[0])
    for mine, theirs in zip(native.rows[1], readable.rows[1], strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_numbers_are_rounded_as_python_rounds_them():
    if not _ctf_native.jit.available():
        pytest.skip("numba is not installed")
    assert _ctf_native._handle().wait(120)
    random = np.random.default_rng(2)
    values = random.normal(size=20000) * 10.0 ** random.integers(-12, 12, 20000)
    words = [f"{v:.{d}g}" for v, d in zip(values, random.integers(1, 17, 20000), strict=True)]
    text = "".join(f"|x {w}\n" for w in words).encode()
    ends = np.cumsum([len(w) + 4 for w in words])
    rows = _ctf_native.parse(text, ends, len(words), [Field(b"x", "x", 1, False)]).rows[0]
    np.testing.assert_array_equal(rows[:, 0], np.array([float(w) for w in words]).astype(np.float32))


@pytest.mark.parametrize(
    ("line", "column", "cause"),
    [
        ("|a 1 2x |b 0:1", 6, "a value is not a number"),
        ("|a 1 .5 |b 0:1", 6, "a value is not a number"),
        ("|a 1 2 3 |b 0:1", 8, "there are too many values"),
        ("|a 1 2 |b 0:1 3:1", 15, "an index is too large"),
        ("|a 1 2 |b 5", 11, "a value is not an index:value pair"),
        ("|a 1 2 |b 0:1 |a 3 4", 15, "a stream is given twice in one line"),
        ("oops |a 1 2 |b 0:1", 1, "the line begins with neither a sequence id nor '|'"),
        ("3 4 |a 1 2 |b 0:1", 3, "there is something between the sequence id and the first stream"),
        (" 3 |a 1 2 |b 0:1", 1, "there are blanks before the sequence id"),
        ("", 1, "the line is empty"),
        ("12", 1, "the line has no stream"),
        ("|a 1 2 | b 0:1", 9, "there is no stream name after '|'"),
    ],
)
def test_a_fault_is_named_with_its_column(line, column, cause):
    with pytest.raises(BadLine) as caught:
        parse(line.encode(), FIELDS)
    assert (caught.value.at + 1, caught.value.cause) == (column, cause)


def test_the_whole_message(tmp_path, parser):
    path = tmp_path / "data.txt"
    with pytest.raises(ReaderError) as caught:
        read(path, "0 |a 1 2 |b 0:1\n0 |a 3 4 |b 1:oh\n", BOTH, 9)
    assert str(caught.value) == (
        f"{path}:2:13, stream 'b': a value is not an index:value pair\n"
        "    0 |a 3 4 |b 1:oh\n"
        "                ^\n"
        "  found:    '1:oh'\n"
        "  expected: index:value, such as 5:1, without blanks around ':'\n"
        "  fix:   correct the place, or let the reader leave out bad sequences: max_errors=1"
    )


def test_max_errors_leaves_out_that_many_sequences_and_tells_each(tmp_path, parser):
    path = tmp_path / "data.txt"
    path.write_text("0 |a 1 2\n0 |a x 4\n1 |a 5 6\n2 |a 7 8 9\n3 |a 0 0\n")
    deserializer = CTFDeserializer(str(path), StreamDefs(a=StreamDef(field="a", shape=2)))
    source = MinibatchSource(deserializer, randomize=False, max_sweeps=2, max_errors=2, prefetch=0)
    with pytest.warns(LabWarning) as told:
        found = source.next_minibatch(100)[source.streams.a].asarray().tolist()
    assert found == [[[5.0, 6.0]], [[0.0, 0.0]]] * 2
    assert [str(t.message).split(": ")[1].rsplit("data.txt", 1)[1] for t in told] == [
        ":2:6, stream 'a'",
        ":4:10, stream 'a'",
    ]
    source = MinibatchSource(deserializer, randomize=False, max_errors=1, prefetch=0)
    with pytest.warns(LabWarning), pytest.raises(ReaderError, match=r"1 errors are tolerated, this is number 2"):
        source.next_minibatch(100)


def test_a_sequence_without_a_stream_is_named(tmp_path):
    with pytest.raises(ReaderError, match=r"data.txt:2, stream 'b': a sequence has no sample of a stream"):
        read(tmp_path / "data.txt", "0 |a 1 2 |b 0:1\n1 |a 3 4\n1 |a 5 6\n", BOTH, 9)


def test_short_rows_are_filled_up_with_a_warning(tmp_path, parser):
    path = tmp_path / "data.txt"
    path.write_text("|a 1 2\n|a 3\n")
    source = MinibatchSource(
        CTFDeserializer(str(path), StreamDefs(a=StreamDef(field="a", shape=2))), randomize=False, prefetch=0
    )
    with pytest.warns(LabWarning, match="data.txt:2: a row holds fewer values"):
        assert source.next_minibatch(2)[source.streams.a].asarray().tolist() == [[[1, 2]], [[3, 0]]]


def test_missing_and_empty_files_are_named(tmp_path):
    streams = StreamDefs(a=StreamDef(field="a", shape=1))
    with pytest.raises(ReaderError, match=r"Input file '.*none.txt' is not open."):
        MinibatchSource(CTFDeserializer(str(tmp_path / "none.txt"), streams))
    (tmp_path / "empty.txt").write_bytes(b"")
    with pytest.raises(ReaderError, match="Input file is empty"):
        MinibatchSource(CTFDeserializer(str(tmp_path / "empty.txt"), streams))


def test_chunks_and_a_kept_index_change_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("CNTK_LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("cntk_lab.io._ctf_index._CACHED_FROM", 0)
    path = tmp_path / "data.txt"
    path.write_text("".join(f"{i // 3} |a {i} {i}\n" for i in range(300)))
    found = []
    for size in (1 << 20, 50, 50):
        deserializer = CTFDeserializer(str(path), StreamDefs(a=StreamDef(field="a", shape=2)))
        deserializer["chunkSizeInBytes"] = size
        source = MinibatchSource(deserializer, randomize=False, max_sweeps=1, prefetch=0)
        found.append([m[source.streams.a].asarray().tolist() for m in iter(lambda s=source: s.next_minibatch(7), {})])
    assert found[0] == found[1] == found[2]
    assert len(list((tmp_path / "cache").glob("*.npz"))) == 1
    path.write_text(path.read_text().replace("299 299", "298 1"))
    source = MinibatchSource(CTFDeserializer(str(path), StreamDefs(a=StreamDef(field="a", shape=2))), randomize=False)
    assert source.next_minibatch(300)[source.streams.a].asarray()[-1, -1].tolist() == [298, 1]


CNTK_ORDERS = {  # bytes of a chunk: what CNTK 2.7 deals out of 60 lines when single chunks are shuffled
    40: [21, 29, 27, 36, 35, 8, 59, 25, 45, 7, 48, 52, 26, 57, 17, 55, 28, 49, 4, 56, 16, 3, 44, 9, 24, 38, 15,
         5, 6, 42, 10, 32, 51, 43, 31, 39, 22, 11, 54, 30, 12, 23, 40, 41, 13, 19, 14, 58, 18, 53, 34, 50, 33,
         37, 20, 2, 47, 46, 0, 1],
    100: [13, 14, 50, 52, 51, 32, 33, 28, 27, 9, 8, 55, 56, 57, 39, 41, 42, 40, 4, 6, 7, 5, 21, 22, 23, 58, 59,
          34, 35, 36, 37, 38, 54, 53, 44, 43, 16, 17, 15, 47, 46, 45, 48, 49, 2, 0, 3, 1, 12, 10, 11, 18, 19,
          20, 26, 24, 25, 31, 29, 30],
    333: [36, 35, 34, 41, 32, 40, 37, 33, 39, 42, 38, 25, 24, 26, 28, 30, 22, 23, 29, 31, 27, 17, 20, 18, 13,
          21, 15, 12, 14, 16, 19, 8, 3, 0, 4, 5, 7, 6, 9, 11, 10, 2, 1, 45, 51, 46, 44, 50, 48, 47, 52, 49, 43,
          58, 55, 54, 56, 53, 59, 57],
}  # fmt: skip


@pytest.mark.parametrize("size", CNTK_ORDERS)
def test_chunks_begin_and_end_where_cntk_s_do(size, tmp_path):
    (tmp_path / "x.txt").write_text("".join(f"|x {k} |# {'c' * (7 * k * k % 41)}\n" for k in range(60)))
    deserializer = CTFDeserializer(str(tmp_path / "x.txt"), StreamDefs(x=StreamDef(field="x", shape=1)))
    deserializer["chunkSizeInBytes"] = size
    source = MinibatchSource(deserializer, randomization_window_in_chunks=1, max_sweeps=1, prefetch=0)
    assert source.next_minibatch(60)[source.streams.x].asarray().ravel().tolist() == CNTK_ORDERS[size]


def test_line_starts_and_ids_are_those_found_by_numpy():
    if not _ctf_native.jit.available():
        pytest.skip("numba is not installed")
    assert _ctf_native._index_handle().wait(120)
    random = np.random.default_rng(1)
    pieces = [b"|x 1", b"12", b"\n", b"\n\n", b" ", b"1234567890123456789", b"9" * 20, b"x" * 37, b"\r"]
    for _ in range(100):
        text = b"".join(pieces[k] for k in random.integers(0, len(pieces), random.integers(1, 60))) + b"\n"
        data = np.frombuffer(text + b"\n" * _ctf_native.SPARE, np.uint8).copy()
        for native, plain in zip(_ctf_native.line_starts(data, 7), line_starts(data[: len(text)], 7), strict=True):
            np.testing.assert_array_equal(native, plain)


@pytest.mark.parametrize("odd", ["0", "256", "-0", "-1", "0.5", "1e-3", "2.0", "3e2", "1e99"])
def test_values_that_are_no_bytes_are_kept_as_they_are(odd, tmp_path, monkeypatch):
    if not _ctf_native.jit.available():
        pytest.skip("numba is not installed")
    assert _ctf_native._handle().wait(120)
    monkeypatch.setattr("cntk_lab.io._ctf.PART_BYTES", 100)
    words = [["7", "0", "255", "0", "0", "0", "0", str(k)] for k in range(60)]
    words[40][2] = odd
    (tmp_path / "x.txt").write_text("".join(f"|x {' '.join(row)}\n" for row in words))
    deserializer = CTFDeserializer(str(tmp_path / "x.txt"), StreamDefs(x=StreamDef(field="x", shape=8)))
    deserializer["chunkSizeInBytes"] = 600
    source = MinibatchSource(deserializer, randomize=False, max_sweeps=1)
    found = [row for m in iter(lambda: source.next_minibatch(7), {}) for row in m[source.streams.x].asarray()[:, 0]]
    with np.errstate(over="ignore"):
        expected = np.array(words, np.float64).astype(np.float32)
    np.testing.assert_array_equal(found, expected)
    assert np.signbit(found).tolist() == np.signbit(expected).tolist()


def test_a_last_line_without_its_end_and_a_line_longer_than_a_block_are_read(tmp_path, parser, monkeypatch):
    monkeypatch.setattr("cntk_lab.io._ctf_index.BLOCK", 64)
    (tmp_path / "x.txt").write_text(f"|x 1 |# {'c' * 500}\n|x 2\n|x 3 |# {'d' * 90}")
    deserializer = CTFDeserializer(str(tmp_path / "x.txt"), StreamDefs(x=StreamDef(field="x", shape=1)))
    source = MinibatchSource(deserializer, randomize=False, max_sweeps=1)
    data = source.next_minibatch(9)[source.streams.x]
    assert (data.num_sequences, data.asarray().ravel().tolist()) == (3, [1, 2, 3])


def test_a_file_that_changed_since_it_was_indexed_is_named_not_read_into_foreign_memory(tmp_path, parser):
    path = tmp_path / "x.txt"
    path.write_text("|x 1234567\n" * 50)
    source = MinibatchSource(CTFDeserializer(str(path), StreamDefs(x=StreamDef(field="x", shape=1))), prefetch=0)
    path.write_text("|x 1\n" * 110)
    if parser == "native":
        with pytest.raises(ReaderError, match="more than 50 lines where it had 50 when it was indexed"):
            source.next_minibatch(9)
    path.write_text("|x 1\n")
    with pytest.raises(ReaderError, match="has become shorter while it is read: 5 bytes, 550 before"):
        source.next_minibatch(9)
