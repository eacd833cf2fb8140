"""MNIST's format, labelled images, CTF text of images, emoji sheets."""

import gzip
import struct

import numpy as np
import pytest

from cntk_lab.datasets import _images, emoji, fashion_mnist, mnist, records
from cntk_lab.datasets._images import Images, ImageSet, idx_array
from cntk_lab.errors import AttributeValueError, FormatError

PIXELS = np.array([[[[0, 9], [10, 255]]], [[[1, 2], [3, 4]]]], np.uint8)
TWO = Images(PIXELS, np.array([2, 0]), ("a", "b", "c"))


def idx(array):
    return struct.pack(f">I{array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes()


def test_idx_files_hold_images_and_labels():
    assert idx_array(idx(PIXELS[:, 0])).tolist() == PIXELS[:, 0].tolist()
    assert idx_array(idx(np.array([7, 8], np.uint8))).tolist() == [7, 8]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no IDX file of bytes: it begins with "),
        (b"\x1f\x8b\x08\x00aaaa", "no IDX file of bytes: it begins with 1f 8b 08 00"),
        (idx(PIXELS[:, 0])[:-1], "IDX file of shape (2, 2, 2): 23 bytes found, 24 expected"),
    ],
)
def test_damaged_idx_files_are_named(content, words):
    with pytest.raises(FormatError) as caught:
        idx_array(content)
    assert caught.value.what == words


def test_images_are_the_pixels_divided_by_255():
    assert TWO.images.dtype == np.float32
    assert TWO.images[0].tolist() == (PIXELS[0] / np.float32(255)).astype(np.float32).tolist()
    assert TWO.images.max() == 1


def test_one_hot_rows():
    assert TWO.one_hot().tolist() == [[0, 0, 1], [1, 0, 0]]


def test_take_first_or_random():
    many = Images(np.arange(100, dtype=np.uint8).reshape(100, 1, 1, 1), np.arange(100), tuple(map(str, range(100))))
    assert many.take(3).labels.tolist() == [0, 1, 2]
    drawn = many.take(50, seed=1)
    assert drawn.labels.tolist() == drawn.pixels.ravel().tolist()
    assert len(set(drawn.labels.tolist())) == 50
    assert drawn.labels.tolist() == many.take(50, seed=1).labels.tolist()


def test_take_too_many():
    with pytest.raises(AttributeValueError) as caught:
        TWO.take(3)
    assert str(caught.value) == "take: 3 images asked for, 2 are there\n  where: Images.take\n  fix:   ask for 0..2"


def test_ctf_has_a_line_per_image(tmp_path):
    path = TWO.to_ctf(tmp_path / "new" / "two.txt")
    assert path.read_text() == "|labels 0 0 1 |features 0 9 10 255\n|labels 1 0 0 |features 1 2 3 4\n"


def test_ctf_over_several_blocks_is_what_a_loop_writes(tmp_path):
    random = np.random.default_rng(0)
    images = Images(
        random.integers(0, 256, (4500, 1, 2, 3), np.uint8), random.integers(0, 10, 4500), tuple("0123456789")
    )
    lines = images.to_ctf(tmp_path / "many.txt", features="x", labels="y").read_text().splitlines()
    expected = [
        f"|y {' '.join(str(int(c == label)) for c in range(10))} |x {' '.join(map(str, row))}"
        for label, row in zip(images.labels, images.pixels.reshape(4500, -1), strict=True)
    ]
    assert lines == expected


def test_a_set_writes_the_file_names_of_cntk_s_tutorials(tmp_path):
    train, test = ImageSet("two", TWO, TWO).to_ctf(tmp_path)
    assert (train.name, test.name) == ("Train-2x2_cntk_text.txt", "Test-2x2_cntk_text.txt")
    assert sorted(p.name for p in tmp_path.iterdir()) == [test.name, train.name]


@pytest.mark.parametrize("loader", [mnist, fashion_mnist])
def test_loaders_put_the_four_files_together(loader, monkeypatch):
    files = {}
    for part, count in (("train", 3), ("t10k", 2)):
        files[f"{part}-images-idx3-ubyte"] = idx(np.full((count, 28, 28), 5, np.uint8))
        files[f"{part}-labels-idx1-ubyte"] = idx(np.arange(count, dtype=np.uint8))
    monkeypatch.setattr(_images, "fetch", lambda *_: files)
    loaded = loader()
    assert loaded.train.images.shape == (3, 1, 28, 28)
    assert loaded.test.labels.tolist() == [0, 1]
    assert len(loaded.train.classes) == 10


def test_emoji_are_cut_out_of_the_sheet_and_laid_on_white(monkeypatch):
    image = pytest.importorskip("PIL.Image")
    sheet = np.zeros((68, 34, 4), np.uint8)
    sheet[1:33, 1:33] = (255, 0, 0, 255)
    sheet[35:67, 1:33] = (0, 0, 255, 0)
    import io

    out = io.BytesIO()
    image.fromarray(sheet).save(out, "PNG")
    entry = '{{"name": "RED", "unified": "2705-FE0F", "category": "{}", "sheet_x": 0, "sheet_y": {}, {}}}'
    shown = '"has_img_google": true, "has_img_twitter": true'
    hidden = '"has_img_google": true, "has_img_twitter": false'
    table = [("Flags", 0, shown), ("Activities", 1, shown), ("Flags", 0, hidden), ("Component", 0, shown)]
    files = {
        "emoji.json": ("[" + ",".join(entry.format(*row) for row in table) + "]").encode(),
        "google-32.png": out.getvalue(),
        "twitter-32.png": out.getvalue(),
    }
    monkeypatch.setattr(_images, "fetch", lambda *_: files)
    loaded = emoji()
    assert loaded.google.classes == ("Activities", "Flags")
    assert loaded.twitter.labels.tolist() == [1, 0]
    assert loaded.names == ("red", "red")
    assert loaded.characters[0] == "\u2705\ufe0f"
    assert np.unique(loaded.google.pixels[0].reshape(3, -1), axis=1).ravel().tolist() == [255, 0, 0]
    assert np.unique(loaded.google.pixels[1]).tolist() == [255]


def test_every_record_can_be_checked_and_fetched():
    for record in records():
        assert len({file.name for file in record.files}) == len(record.files)
        assert all(len(file.sha256) == 64 and file.size > 0 for file in record.files)
        served = {name for package in record.packages for name in package.members}
        assert served == {file.name for file in record.files}
        assert record.licence
        assert record.origin


def test_gzip_of_idx_is_not_an_idx():
    with pytest.raises(FormatError):
        idx_array(gzip.compress(idx(PIXELS[:, 0])))
