"""Event files: records, checksums and messages are those TensorBoard reads."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab.errors import ShapeError
from cntk_lab.logging import TensorBoardProgressWriter
from cntk_lab.logging._events import crc32c, pixels_of, png


def _fields(data: bytes) -> list[tuple[int, Any]]:
    """A protobuf message as (field, value) pairs."""
    found, at = [], 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            value: Any = varint()
        elif key & 7 == 2:
            length = varint()
            value, at = data[at : at + length], at + length
        else:
            size = {1: 8, 5: 4}[key & 7]
            value, at = struct.unpack("<d" if size == 8 else "<f", data[at : at + size])[0], at + size
        found.append((key >> 3, value))
    return found


def _events(path: str) -> list[dict[int, Any]]:
    data, found = Path(path).read_bytes(), []
    while data:
        length, check = struct.unpack("<QI", data[:12])
        body, check_body = data[12 : 12 + length], struct.unpack("<I", data[12 + length : 16 + length])[0]
        for part, expected in ((data[:8], check), (body, check_body)):
            crc = crc32c(part)
            assert ((crc >> 15 | crc << 17) % 2**32 + 0xA282EAD8) % 2**32 == expected
        found.append(dict(_fields(body)))
        data = data[16 + length :]
    return found


def _values(path: str) -> list[tuple[str, int, Any]]:
    """(tag, step, number or image) of all summaries."""
    found = []
    for event in _events(path):
        if 5 in event:
            value = dict(_fields(dict(_fields(event[5]))[1]))
            found.append((value[1].decode(), event.get(2, 0), value.get(2, value.get(4))))
    return found


def test_checksum_is_the_one_of_the_standard() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # check value of CRC-32C
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, appendix B.4


def test_curves_have_points_per_minibatch_and_per_epoch(tmp_path: Path) -> None:
    writer = TensorBoardProgressWriter(freq=2, log_dir=tmp_path / "new")
    for loss in (6.0, 4.0, 2.0, 0.0):
        writer.update_training(4, loss, 1.0)
    writer.write_training_summary()
    writer.update_test(5, 2.0)
    writer.write_test_summary()
    writer.write("Learning rate per minibatch", 0.5)
    writer.write("words", "no number")  # type: ignore[arg-type]
    writer.close()
    assert writer.path is not None
    assert _events(writer.path)[0][3] == b"brain.Event:2"
    assert _values(writer.path) == [
        ("minibatch/avg_loss", 2, 1.25),
        ("minibatch/avg_metric", 2, 0.25),
        ("minibatch/avg_loss", 4, 0.25),
        ("minibatch/avg_metric", 4, 0.25),
        ("summary/avg_loss", 1, 0.75),
        ("summary/avg_metric", 1, 0.25),
        ("summary/test_avg_metric", 1, pytest.approx(0.4)),
        ("Learning rate per minibatch", 4, 0.5),
    ]


def test_images_are_png_files_in_the_order_height_width_channels(tmp_path: Path) -> None:
    x = C.input_variable((3, 2, 2))
    writer = TensorBoardProgressWriter(log_dir=tmp_path)
    batch = np.zeros((2, 3, 2, 2), np.float32)
    batch[1, 0, 0, 1] = 255
    writer.write_image("faces", {x: batch}, 7)
    writer.close()
    assert writer.path is not None
    (first, step, _), (second, _, image) = _values(writer.path)
    assert (first, second, step) == ("faces/image/0", "faces/image/1", 7)
    message = dict(_fields(image))
    assert (message[1], message[2], message[3]) == (2, 2, 3)
    data = message[4]
    body = data[data.index(b"IDAT") + 4 : data.index(b"IEND") - 8]
    assert zlib.decompress(body) == bytes([0, 0, 0, 0, 255, 0, 0]) + bytes(7)
    assert data == png(pixels_of(batch[1]))


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(ShapeError, match="image 'a' has shape 2 x 4 x 5"):
        pixels_of(np.zeros((2, 4, 5)), "a")
    assert pixels_of(np.array([[0.0, 0.5], [1.0, np.nan]])).ravel().tolist() == [0, 128, 255, 0]


def test_the_graph_has_unique_names_in_the_scopes_of_its_blocks(tmp_path: Path) -> None:
    x = C.input_variable(4, name="x y")
    model = C.layers.Sequential([C.layers.Dense(3, name="same"), C.layers.Dense(2, name="same")])(x)
    writer = TensorBoardProgressWriter(log_dir=tmp_path, model=model)
    writer.close()
    assert writer.path is not None
    graph = next(event[4] for event in _events(writer.path) if 4 in event)
    nodes = [_fields(node) for field, node in _fields(graph) if field == 1]
    names = [dict(node)[1].decode() for node in nodes]
    assert len(names) == len(set(names))
    assert sum(name.startswith("same_") and "/" in name for name in names) >= 4
    operands = {value.decode() for node in nodes for field, value in node if field == 3}
    assert operands <= set(names)
    assert any(name.startswith("x_y_") for name in operands)


def test_only_the_first_worker_writes(tmp_path: Path) -> None:
    writer = TensorBoardProgressWriter(freq=1, log_dir=tmp_path / "none", rank=1)
    writer.update_training(1, 1.0, 1.0)
    writer.close()
    assert writer.path is None
    assert not (tmp_path / "none").exists()
