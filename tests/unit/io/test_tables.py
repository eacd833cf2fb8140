"""Tables and data sets: the same rows from every form; bad rows named."""

from __future__ import annotations

import numpy as np
import pytest

from cntk_lab.errors import LabWarning, ReaderError
from cntk_lab.io import DatasetDeserializer, MinibatchSource, StreamDef, StreamDefs, TableDeserializer

STREAMS = StreamDefs(
    x=StreamDef(field=["a", "b"], shape=2),
    words=StreamDef(field="words", shape=9, is_sparse=True),
    pairs=StreamDef(field="pairs", shape=2),
)
COLUMNS = {
    "a": [0.5, 1.5, 2.5, 3.5],
    "b": [1, 2, 3, 4],
    "words": [[1, 2], [3], [4, 5, 6], [8]],
    "pairs": [[1.0, 2.0], [3.0, 4.0, 5.0, 6.0], [7.0, 8.0], [9.0, 10.0]],
}


def pandas_frame(folder):
    return pytest.importorskip("pandas").DataFrame(COLUMNS)


def arrow_table(folder):
    return pytest.importorskip("pyarrow").table(COLUMNS)


def parquet_file(folder):
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow_table(folder), folder / "data.parquet", row_group_size=3)
    return folder / "data.parquet"


def dictionary(folder):
    return COLUMNS


@pytest.mark.parametrize("make", [pandas_frame, arrow_table, parquet_file, dictionary])
def test_every_form_of_table_gives_the_same(make, tmp_path):
    source = MinibatchSource(TableDeserializer(make(tmp_path), STREAMS), randomize=False, max_sweeps=1)
    minibatch = source.next_minibatch(100)
    assert minibatch[source.streams.x].asarray()[:, 0].tolist() == [[0.5, 1], [1.5, 2], [2.5, 3], [3.5, 4]]
    words = [p.indices.tolist() for p in minibatch[source.streams.words].as_sequences()]
    assert words == COLUMNS["words"]
    pairs = [p.ravel().tolist() for p in minibatch[source.streams.pairs].as_sequences()]
    assert pairs == COLUMNS["pairs"]


def test_a_hugging_face_data_set_is_read():
    datasets = pytest.importorskip("datasets")
    streams = StreamDefs(x=StreamDef(field="x", shape=2), y=StreamDef(field="y", shape=3, is_sparse=True))
    data = datasets.Dataset.from_dict({"x": [[1.0, 2.0], [3.0, 4.0]], "y": [2, 0]})
    source = MinibatchSource(DatasetDeserializer(data, streams), randomize=False)
    minibatch = source.next_minibatch(2)
    assert minibatch[source.streams.x].asarray()[:, 0].tolist() == [[1, 2], [3, 4]]
    assert minibatch[source.streams.y].asarray()[:, 0].tolist() == [[0, 0, 1], [1, 0, 0]]


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("words", [[1], [9], [2], [3]], "row 1, column 'words', stream 'words': a class is out of range"),
        ("words", [[1], [0.5], [2], [3]], "row 1, column 'words', stream 'words': a class is not a whole number"),
        ("words", [[1], [2], [], [3]], "row 2, column 'words', stream 'words': a row has the wrong number of values"),
        ("words", [[1], None, [2], [3]], "row 1, column 'words', stream 'words': this is not a number"),
        (
            "pairs",
            [[1, 2], [1, 2], [1, 2], [1, 2, 3]],
            "row 3, column 'pairs', stream 'pairs': a row has the wrong number",
        ),
        ("pairs", [[1, 2], ["x", 2], [1, 2], [1, 2]], "row 1, column 'pairs', stream 'pairs': this is not a number"),
    ],
)
def test_a_bad_row_is_named_and_can_be_left_out(column, values, words):
    table = {**COLUMNS, column: values}
    with pytest.raises(ReaderError) as caught:
        MinibatchSource(TableDeserializer(table, STREAMS), randomize=False, prefetch=0).next_minibatch(9)
    assert words in str(caught.value)
    source = MinibatchSource(TableDeserializer(table, STREAMS), randomize=False, max_sweeps=1, max_errors=1, prefetch=0)
    with pytest.warns(LabWarning, match="left out"):
        assert source.next_minibatch(100)[source.streams.x].num_sequences == 3


def test_missing_columns_files_and_parts_are_named(tmp_path):
    with pytest.raises(ReaderError, match="there is no column 'words' in dict"):
        MinibatchSource(TableDeserializer({"a": [1], "b": [2]}, STREAMS))
    with pytest.raises(ReaderError, match=r"cannot read '.*none.npz'"):
        MinibatchSource(TableDeserializer(tmp_path / "none.npz", STREAMS))
    np.savez(tmp_path / "objects.npz", a=np.array([object()], object))
    with pytest.raises(ReaderError, match="without object arrays"):
        MinibatchSource(TableDeserializer(tmp_path / "objects.npz", STREAMS))
    part = StreamDefs(x=StreamDef(field=2, shape=1))
    with pytest.raises(ReaderError, match="items of list have no part 2"):
        MinibatchSource(DatasetDeserializer([(1.0, 2.0)], part), prefetch=0).next_minibatch(1)
