"""Tables go into the reader preview as they are."""

from __future__ import annotations

import numpy as np
import pytest

from cntk_lab.errors import AttributeValueError
from cntk_lab.widgets.preview import ReaderPreview

pytestmark = pytest.mark.usefixtures("front_end")

pandas = pytest.importorskip("pandas")
arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
COLUMNS = {"width": [1.0, 2.0, 3.0], "count": [4, 5, 6], "steps": [[1.0], [2.0, 3.0], [4.0, 5.0, 6.0]]}


def on_disk(folder):
    parquet.write_table(arrow.table(COLUMNS), folder / "t.parquet")
    return folder / "t.parquet"


TABLES = {
    "pandas": lambda _: pandas.DataFrame(COLUMNS),
    "Arrow": lambda _: arrow.table(COLUMNS),
    "path": on_disk,
    "path as text": lambda folder: str(on_disk(folder)),
}


@pytest.mark.parametrize("kind", TABLES)
def test_each_column_is_a_stream_and_each_row_a_sequence(tmp_path, kind):
    preview = ReaderPreview(TABLES[kind](tmp_path), minibatch_size=100)
    shown = {name: [np.ravel(s).tolist() for s in sequences] for name, sequences in preview.minibatch.items()}
    assert shown == {"width": [[1], [2], [3]], "count": [[4], [5], [6]], "steps": [[1], [2, 3], [4, 5, 6]]}


def test_a_column_of_words_is_named_with_what_to_do():
    for table in (pandas.DataFrame({"x": [1.0], "word": ["cat"]}), arrow.table({"x": [1.0], "word": ["cat"]})):
        with pytest.raises(AttributeValueError, match=r"without numbers: word(.|\n)*TableDeserializer"):
            ReaderPreview(table)


def test_another_kind_of_file_and_a_damaged_one_are_refused(tmp_path):
    with pytest.raises(AttributeValueError, match="deserializer"):
        ReaderPreview("words.ctf")
    (tmp_path / "bad.parquet").write_bytes(b"no table")
    with pytest.raises(AttributeValueError, match="no Parquet file"):
        ReaderPreview(tmp_path / "bad.parquet")
