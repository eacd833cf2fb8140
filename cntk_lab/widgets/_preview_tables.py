"""Tables given to the reader preview as they are: one stream for each column of numbers or of lists of numbers.

Knows the readers and no widget. What is no table is handed on untouched.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cntk_lab.errors import AttributeValueError, NotAvailableError
from cntk_lab.io import StreamDef, StreamDefs, TableDeserializer


def source_of(given: Any) -> Any:
    """A deserializer of a table; anything else as it came.

    Args:
        given: pandas DataFrame, Arrow Table, or the path of a ``.parquet`` file; or any other source.

    Raises:
        AttributeValueError: if a path is of another kind of file, or a column holds no numbers.
        NotAvailableError: if a Parquet file is given and pyarrow is missing.
    """
    if isinstance(given, (str, os.PathLike)):
        return _deserializer(os.fspath(given), _first_rows(Path(given)))
    if hasattr(given, "column_names") and hasattr(given, "num_rows"):
        return _deserializer(given, given.slice(0, 1))
    if hasattr(given, "dtypes") and hasattr(given, "columns"):
        return _deserializer(given, given.head(1))
    return given


def _first_rows(path: Path) -> Any:
    if path.suffix.lower() != ".parquet":
        raise AttributeValueError(
            f"the minibatches of {path.name} depend on what its fields are",
            fix="give a deserializer of it (CTFDeserializer, ImageDeserializer, TableDeserializer ...), or a .parquet",
        )
    try:
        parquet = import_module("pyarrow.parquet")
    except ModuleNotFoundError as error:
        raise NotAvailableError(
            f"{path.name} cannot be read: the package {error.name} is missing", fix="pip install 'cntk-lab[tables]'"
        ) from error
    try:
        return parquet.ParquetFile(path).schema_arrow.empty_table()
    except (OSError, ValueError) as error:
        raise AttributeValueError(f"{path} is no Parquet file that can be read: {error}", fix="check it") from error


def _deserializer(table: Any, first: Any) -> Any:
    names = list(first.column_names) if hasattr(first, "column_names") else list(first.columns)
    wrong = [str(name) for name in names if not _numbers(first, name)]
    if wrong or not names:
        raise AttributeValueError(
            f"columns without numbers: {', '.join(wrong)}" if wrong else "the table has no columns",
            fix="leave them out, or give TableDeserializer(table, streams) with the columns to look at",
        )
    return TableDeserializer(table, StreamDefs(**{str(name): StreamDef(field=name, shape=1) for name in names}))


def _numbers(first: Any, name: Any) -> bool:
    """Whether a column holds numbers or lists of them."""
    column = first[name]
    if hasattr(column, "chunks"):
        kind: Any = column.type
        kind = getattr(kind, "value_type", kind)
        return _is_number(np.dtype(kind.to_pandas_dtype()))
    values: npt.NDArray[Any] = column.to_numpy()
    return _is_number(values.dtype if values.dtype != object or not len(values) else np.asarray(values[0]).dtype)


def _is_number(kind: np.dtype[Any]) -> bool:
    return kind.kind in "biuf"
