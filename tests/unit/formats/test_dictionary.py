"""CNTK dictionaries: every type, every limit, every kind of damage."""

import io
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from cntk_lab.errors import FormatError
from cntk_lab.formats.cntk import _encode
from cntk_lab.formats.cntk.dictionary import (
    Float,
    Limits,
    NDShape,
    SizeT,
    StoredAxis,
    decode,
    encode,
    read,
    write,
    write_to,
)

ALL_TYPES = {
    "none": None,
    "yes": True,
    "no": False,
    "int": -3,
    "least": -(2**31),
    "size": SizeT(2**64 - 1),
    "zero": SizeT(0),
    "float": Float(0.25),
    "double": 1e300,
    "text": "Größe 重み",
    "empty": "",
    "shape": NDShape((3, 2**64 - 1)),
    "scalar": NDShape(()),
    "axis": StoredAxis(-2, "staticAxisIdx=-2", ordered=True),
    "vector": [1, "a", [2.5], {}],
    "inner": {"x": {"y": SizeT(1)}},
}


def test_every_type_comes_back_as_it_was() -> None:
    back = decode(encode(ALL_TYPES))
    assert back == ALL_TYPES
    assert list(back) == list(ALL_TYPES)
    assert {k: type(v) for k, v in back.items()} == {k: type(v) for k, v in ALL_TYPES.items()}


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8", "int16"])
@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (4, 1, 2)])
def test_arrays_come_back_as_they_were(dtype: str, shape: tuple[int, ...]) -> None:
    array = (np.arange(np.prod(shape, dtype=int)) * 3 - 4).reshape(shape).astype(dtype)
    back = decode(encode({"a": array}))["a"]
    assert isinstance(back, np.ndarray)
    assert (back.dtype, back.shape, back.tolist()) == (array.dtype, array.shape, array.tolist())
    back[...] = 0  # ours to write to


def test_array_that_is_not_contiguous_is_written_in_row_order() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    assert decode(encode({"a": array}))["a"].tolist() == [[0, 3], [1, 4], [2, 5]]  # type: ignore[union-attr]


def test_bytes_are_those_of_the_protobuf_schema() -> None:
    assert encode({"a": SizeT(3)}).hex(" ") == "08 02 12 0b 0a 01 61 12 06 08 02 10 03 28 03"
    assert encode({"w": np.array([[1.5]], np.float32)}).hex(" ") == (
        "08 02 12 1b 0a 01 77 12 16 08 02 10 0b 6a 10 08 01 1a 04 0a 02 01 01 22 06 0a 04 00 00 c0 3f"
    )


def test_plain_numbers_take_the_types_that_cntk_gave_them() -> None:
    back = decode(encode({"small": 7, "large": 2**31, "real": 0.5, "numpy": np.float32(0.5), "pair": (1, 2)}))
    assert {k: type(v).__name__ for k, v in back.items()} == {
        "small": "int",
        "large": "SizeT",
        "real": "float",
        "numpy": "Float",
        "pair": "list",
    }


def test_long_messages_are_split_and_come_back() -> None:
    arrays = {
        "a": np.arange(5, dtype=np.float32),
        "b": np.array([[1.5, -2.5]], np.float16),
        "c": np.array(3.0),
        "d": np.array([7], np.int8),
    }
    pieces = _encode.file_pieces({"inner": arrays, "n": SizeT(4)}, split_at=10)
    data = b"".join(bytes(b) for b in _encode.blocks(pieces))
    assert data[:4] == b"ktnc"
    assert struct.unpack("<I", data[4:8])[0] == len(data) - 8 - 5 * 4 - 2 * 4 - 8
    back = decode(data)["inner"]
    assert isinstance(back, dict)
    for name, array in arrays.items():
        assert np.array_equal(back[name], array)  # type: ignore[arg-type]


def test_split_files_of_a_wrong_length_are_refused() -> None:
    data = b"".join(bytes(b) for b in _encode.blocks(_encode.file_pieces({"a": np.zeros(9, np.float32)}, split_at=10)))
    with pytest.raises(FormatError, match=r"an array of shape \(9,\) needs 36 bytes, but 35 are left"):
        decode(data[:-1])
    with pytest.raises(FormatError, match="the arrays need 36 bytes, but 37 follow the message"):
        decode(data + b"x")
    with pytest.raises(FormatError, match="byte 4"):
        decode(data[:20])


def test_files_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.model"
    write(path, {"a": 1})
    path.chmod(0o640)
    with pytest.raises(FormatError, match="a value of type object cannot be stored"):
        write(path, {"a": object()})  # type: ignore[dict-item]
    assert read(path) == {"a": 1}
    write(path, {"a": 2})
    assert read(path) == {"a": 2}
    assert path.stat().st_mode & 0o777 == 0o640
    assert [p.name for p in tmp_path.iterdir()] == ["a.model"]


def test_file_that_breaks_while_it_is_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.model"
    write(path, {"a": 1})

    def broken(_: object) -> object:
        yield b"\x08"
        raise OSError(28, "no space left on device")

    monkeypatch.setattr("cntk_lab.formats.cntk.dictionary.blocks", broken)
    with pytest.raises(OSError, match="no space left"):
        write(path, {"a": 2})
    assert read(path) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.model"]


def test_link_stays_a_link_and_its_target_is_replaced(tmp_path: Path) -> None:
    target, link = tmp_path / "a.model", tmp_path / "link"
    write(target, {"a": 1})
    link.symlink_to(target)
    write(link, {"a": 2})
    assert link.is_symlink()
    assert read(target) == {"a": 2}


def test_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"cannot write a file in .*nowhere"):
        write(tmp_path / "nowhere" / "a.model", {})


def test_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.model"
    path.write_bytes(b"")
    with pytest.raises(FormatError, match="the file is empty: it has 0 bytes"):
        read(path)


def test_open_files_can_be_written_to() -> None:
    file = io.BytesIO()
    write_to(file, {"a": 1})
    assert decode(file.getvalue()) == {"a": 1}


def message(field: int, payload: bytes) -> bytes:
    return _encode.varint(field << 3 | 2) + _encode.varint(len(payload)) + payload


def entry(value: bytes, key: bytes = b"k") -> bytes:
    return b"\x08\x02" + message(2, message(1, key) + message(2, value))


def shape(*sizes: int) -> bytes:
    return message(3, message(1, b"".join(_encode.varint(s) for s in sizes)))


ARRAY = b"\x08\x02\x10\x0b"
DAMAGE = {
    "cut inside a number": (b"\x08\x80", "the bytes end in the middle of a number"),
    "number too long": (b"\x08" + b"\xff" * 11, "a number of more than 10 bytes"),
    "number too large": (b"\x08" + b"\xff" * 9 + b"\x7f", "a number of more than 64 bits"),
    "cut inside a message": (
        b"\x08\x02\x12\x20\x0a",
        "field data of Dictionary should be 32 bytes long, but only 1 follow",
    ),
    "unknown field": (b"\x08\x02\x28\x01", "Dictionary has no field 5"),
    "wrong wire type": (b"\x0d\x00\x00\x00\x00", "field version of Dictionary has wire type 5, not 0"),
    "version twice": (b"\x08\x02\x08\x02", "field version of Dictionary appears twice"),
    "newer version": (b"\x08\x63", "format version 99; the newest there is"),
    "no value": (b"\x08\x02" + message(2, message(1, b"k")), "the entry 'k' has no value"),
    "key twice": (entry(b"\x10\x00") + entry(b"\x10\x00")[2:], "the key 'k' appears twice"),
    "unknown type": (entry(b"\x10\x0c"), "there is no value type 12"),
    "type without value": (entry(b"\x10\x02"), "a value of type Int holds nothing"),
    "type of another value": (entry(b"\x10\x02\x18\x01"), "a value of type Int holds a Bool"),
    "value without type": (entry(b"\x18\x01"), "a Bool without its type"),
    "two values": (entry(b"\x10\x01\x18\x01\x20\x01"), "a value of two types at once"),
    "bool of 2": (entry(b"\x10\x01\x18\x02"), "a Bool of 2"),
    "int of 33 bits": (entry(b"\x10\x02\x20\x80\x80\x80\x80\x10"), "an Int of more than 32 bits: 4294967296"),
    "text not UTF-8": (entry(b"\x10\x06" + message(8, b"a\xff")), "a text that is not UTF-8"),
    "rank": (entry(b"\x10\x07" + message(9, message(1, b"\x01" * 65))), "a shape of more than 64 dimensions"),
    "array too short": (
        entry(ARRAY + message(13, b"\x08\x01" + shape(2, 3) + message(4, message(1, b"\0" * 20)))),
        r"an array of shape \(3, 2\) needs 24 bytes, but has 20",
    ),
    "array of a huge shape": (
        entry(ARRAY + message(13, b"\x08\x02" + shape(2**63, 2**63) + message(5, message(1, b"\0" * 8)))),
        "needs 680564733841876926926749214863536422912 bytes, but has 8",
    ),
    "array without values": (
        entry(ARRAY + message(13, b"\x08\x01" + shape(2))),
        r"an array of shape \(2,\) needs 8 bytes, but has 0",
    ),
    "array of no type": (entry(ARRAY + message(13, shape(1))), "there is no element type 0"),
    "sparse array": (entry(ARRAY + message(13, b"\x08\x01\x10\x01" + shape(1))), "an array in storage format 1"),
    "values of another type": (
        entry(ARRAY + message(13, b"\x08\x01" + shape(1) + message(5, message(1, b"\0" * 8)))),
        "an array of float32 with values in field double_values",
    ),
    "int16 too large": (
        entry(ARRAY + message(13, b"\x08\x06" + shape(1) + message(7, message(1, b"\x80\x80\x04")))),
        "an int16 of 32768",
    ),
    "int16 too few": (
        entry(ARRAY + message(13, b"\x08\x06" + shape(2**40))),
        "1099511627776 numbers cannot lie in 0 bytes",
    ),
    "split length": (b"ktnc\xff\xff\xff\x7f\x08\x02", "the message should be 2147483647 bytes long, but only 2 follow"),
    "split array larger than file": (
        b"ktnc" + struct.pack("<I", 32) + entry(ARRAY + message(13, b"\x08\x01" + shape(2**60))).ljust(32, b"\0")[:32],
        "needs|has no field|should be",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named_with_its_byte(name: str) -> None:
    data, what = DAMAGE[name]
    with pytest.raises(FormatError, match=what) as caught:
        decode(data, "some.model")
    assert caught.value.where.startswith("some.model, byte ")
    assert "damaged" in caught.value.fix


def test_damage_is_named_with_its_key() -> None:
    data = bytearray(encode({"inputs": [{"uid": "W"}, {"uid": "b", "size": SizeT(1)}]}))
    data[data.rindex(b"\x10\x03") + 1] = 2
    with pytest.raises(FormatError) as caught:
        decode(bytes(data), "some.model")
    assert str(caught.value) == (
        "a value of type Int holds a SizeT\n"
        "  where: some.model, byte 82, under inputs[1].size\n"
        "  fix:   the file is damaged, truncated or not a CNTK v2 file: take another copy of it"
    )


def test_nesting_ends_where_that_of_cntk_ends() -> None:
    def nested(levels: int) -> dict[str, object]:
        value: object = 1
        for _ in range(levels):
            value = {"d": value}
        return value  # type: ignore[return-value]

    deepest = nested(25)
    assert decode(encode(deepest)) == deepest  # type: ignore[arg-type]
    with pytest.raises(FormatError, match="nested deeper than 100 messages"):
        encode(nested(26))  # type: ignore[arg-type]
    data = b"\x08\x02"
    for _ in range(2_000):
        data = entry(b"\x10\x0a" + message(12, data))
    with pytest.raises(FormatError, match="nested deeper than 100 messages"):
        decode(data)


def test_number_of_values_is_limited() -> None:
    data = encode({"a": [None] * 100})
    assert len(decode(data)["a"]) == 100  # type: ignore[arg-type]
    with pytest.raises(FormatError, match="more than 50 values"):
        decode(data, limits=Limits(values=50))


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (-(2**31) - 1, "-2147483649 does not fit in 32 bits"),
        (2**64, "18446744073709551616 does not fit in 64 bits without sign"),
        (SizeT(-1), "-1 does not fit in 64 bits without sign"),
        (NDShape((-1,)), "has sizes that do not fit"),
        ("\ud800", "cannot be written as UTF-8"),
        (np.zeros(2, np.int64), "an array of int64 cannot be stored"),
        ({1: 2}, "the key 1 is not a text"),
    ],
)
def test_what_files_cannot_hold_is_refused_by_name(value: object, what: str) -> None:
    with pytest.raises(FormatError, match=what) as caught:
        encode({"a": [0, value]})  # type: ignore[list-item]
    assert "a[1]" in caught.value.where
    assert caught.value.fix


def test_memory_stays_near_that_of_the_values(tmp_path: Path) -> None:
    array = np.ones(4_000_000, np.float32)
    path = tmp_path / "a.model"
    tracemalloc.start()
    write(path, {"a": array, "b": array})
    assert tracemalloc.get_traced_memory()[1] < 16e6
    tracemalloc.reset_peak()
    read(path)
    assert tracemalloc.get_traced_memory()[1] < 34e6
    tracemalloc.stop()
