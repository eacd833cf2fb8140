"""Images: order of channels, sampling and crops as CNTK's; the same lots for the same seed; bad images named."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from cntk_lab.errors import AttributeValueError, LabWarning, ReaderError
from cntk_lab.io import (
    FULL_DATA_SWEEP,
    INFINITELY_REPEAT,
    Base64ImageDeserializer,
    ImageDeserializer,
    MinibatchSource,
    StreamDef,
    StreamDefs,
    check,
    transforms,
)

# the picture of the observation: 6 x 4 pixels of (10, 20, 30), two of them coloured
PICTURE = np.full((4, 6, 3), (10, 20, 30), np.uint8)
PICTURE[0, 0], PICTURE[1, 0] = (255, 0, 0), (1, 2, 3)


@pytest.fixture
def map_file(tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "a.bmp")
    Image.fromarray(PICTURE[:, ::-1]).save(tmp_path / "b.png")
    (tmp_path / "map.txt").write_text(".../a.bmp\t0\n.../b.png\t1\n")
    return tmp_path / "map.txt"


def first(map_file, steps, **options):
    streams = StreamDefs(image=StreamDef(field="image", transforms=steps), label=StreamDef(field="label", shape=2))
    source = MinibatchSource(ImageDeserializer(str(map_file), streams), randomize=False, max_sweeps=1, **options)
    minibatch = source.next_minibatch(10)
    return minibatch[source.streams.image].asarray()[0, 0], minibatch[source.streams.label].asarray()[:, 0]


def test_channels_come_first_and_blue_first(map_file):
    image, labels = first(map_file, [])
    np.testing.assert_array_equal(image, PICTURE[:, :, ::-1].transpose(2, 0, 1))
    assert image.dtype == np.float32
    assert labels.tolist() == [[1, 0], [0, 1]]


def test_scale_samples_at_pixel_centres(map_file):
    image, _ = first(map_file, [transforms.scale(3, 2, 3)])
    expected = [[[16, 30, 30], [30, 30, 30]], [[11, 20, 20], [20, 20, 20]], [[69, 10, 10], [10, 10, 10]]]  # CNTK 2.7
    assert image.tolist() == expected


def test_crop_takes_the_centre_square(map_file):
    image, _ = first(map_file, [transforms.crop("center", side_ratio=0.5)])
    np.testing.assert_array_equal(image, PICTURE[1:3, 2:4, ::-1].transpose(2, 0, 1))


def test_ten_views_are_four_corners_and_the_centre_and_their_mirrors(map_file):
    streams = StreamDefs(x=StreamDef(field="image", transforms=[transforms.crop("multiview10", crop_size=(3, 2))]))
    source = MinibatchSource(ImageDeserializer(str(map_file), streams), randomize=False, max_sweeps=1)
    views = source.next_minibatch(20)[source.streams.x].asarray()[:, 0]
    assert len(views) == 20
    whole = PICTURE[:, :, ::-1].transpose(2, 0, 1)
    for k, (y, x) in enumerate([(0, 0), (0, 3), (2, 0), (2, 3), (1, 1)]):
        cut = whole[:, y : y + 2, x : x + 3]
        np.testing.assert_array_equal(views[k], cut)
        np.testing.assert_array_equal(views[k + 5], cut[:, :, ::-1])


@pytest.mark.parametrize("interpolation", transforms.INTERPOLATIONS)
@pytest.mark.parametrize("mode", transforms.MODES)
def test_every_scale_gives_the_size_asked_for(map_file, interpolation, mode):
    image, _ = first(map_file, [transforms.scale(9, 5, 3, interpolation, mode, 7)])
    assert image.shape == (3, 5, 9)
    assert 0 <= image.min() <= image.max() <= 255
    if mode == "pad":
        assert (image[:, :, -1] == 7).all()


def test_grey_is_one_channel(map_file):
    image, _ = first(map_file, [transforms.scale(6, 4, 1)])
    assert image.shape == (1, 4, 6)
    assert image[0, 3, 3] == 18  # 0.299 * 10 + 0.587 * 20 + 0.114 * 30


def test_the_mean_is_subtracted(map_file, tmp_path):
    values = " ".join(str(v) for v in np.arange(72))
    (tmp_path / "mean.xml").write_text(
        "<?xml version='1.0'?><opencv_storage><Channel>3</Channel><Row>4</Row><Col>6</Col>"
        f"<MeanImg type_id='opencv-matrix'><rows>1</rows><cols>72</cols><dt>f</dt><data>{values}</data></MeanImg>"
        "</opencv_storage>"
    )
    image, _ = first(map_file, [transforms.mean(str(tmp_path / "mean.xml"))])
    expected = PICTURE[:, :, ::-1].astype(np.float32) - np.arange(72).reshape(4, 6, 3)
    np.testing.assert_array_equal(image, expected.transpose(2, 0, 1))
    (tmp_path / "mean.xml").write_text("<!DOCTYPE x [<!ENTITY a 'b'>]><opencv_storage/>")
    with pytest.raises(ReaderError, match="it defines entities"):
        first(map_file, [transforms.mean(str(tmp_path / "mean.xml"))])


def test_lots_depend_on_seed_and_sweep_only(map_file):
    steps = [transforms.crop("randomside", side_ratio=(0.4, 0.9), jitter_type="uniratio"), transforms.scale(8, 8, 3),
             transforms.color(0.3, 0.3, 0.3)]  # fmt: skip

    def run(size, **options):
        streams = StreamDefs(x=StreamDef(field="image", transforms=steps))
        source = MinibatchSource(ImageDeserializer(str(map_file), streams), max_sweeps=4, randomize=False, **options)
        return np.concatenate([m[source.streams.x].asarray() for m in iter(lambda: source.next_minibatch(size), {})])

    one = run(1)
    np.testing.assert_array_equal(one, run(3))
    np.testing.assert_array_equal(one, run(8, multithreaded_deserializer=False, prefetch=0))
    assert not np.array_equal(one, run(1, randomization_seed=1))
    assert not np.array_equal(one[0], one[2])  # the same picture in the next sweep


def test_the_program_of_the_introduction_slides_runs(map_file, tmp_path):
    def create_reader(map_file, mean_file, is_training):
        image_height = image_width = 8
        num_channels, num_classes = 3, 2
        transforms = []
        if is_training:
            transforms += [ImageDeserializer.crop(crop_type="Random", ratio=0.8, jitter_type="uniRatio")]
        transforms += [
            ImageDeserializer.scale(
                width=image_width, height=image_height, channels=num_channels, interpolations="linear"
            ),
            ImageDeserializer.mean(mean_file),
        ]
        return MinibatchSource(
            ImageDeserializer(
                map_file,
                StreamDefs(
                    features=StreamDef(field="image", transforms=transforms),
                    labels=StreamDef(field="label", shape=num_classes),
                ),
            ),
            randomize=is_training,
            epoch_size=INFINITELY_REPEAT if is_training else FULL_DATA_SWEEP,
        )

    data = " ".join(["1"] * 192)
    mean = f"<o><Channel>3</Channel><Row>8</Row><Col>8</Col><MeanImg><data>{data}</data></MeanImg></o>"
    (tmp_path / "mean.xml").write_text(mean)
    training = create_reader(str(map_file), str(tmp_path / "mean.xml"), True)
    assert training.is_infinite()
    assert training.next_minibatch(5)[training.streams.features].shape == (5, 1, 3, 8, 8)
    testing = create_reader(str(map_file), str(tmp_path / "mean.xml"), False)
    assert testing.next_minibatch(5)[testing.streams.labels].num_samples == 2
    assert testing.next_minibatch(5) == {}


@pytest.mark.parametrize(
    ("line", "place", "cause"),
    [
        (".../a.bmp\t7", ":2:11, stream 'label'", "the class number is too large"),
        (".../a.bmp\tcat", ":2:11", "the label is not a class number"),
        (".../a.bmp 1", ":2:1", "a line has the wrong number of columns"),
        (".../none.bmp\t1", ":2:1, stream 'image'", "Cannot open file '.../none.bmp'"),
        (".../half.png\t1", ":2:1, stream 'image'", "the image cannot be decoded"),
        (".../map.txt\t1", ":2:1, stream 'image'", "the image cannot be decoded"),
    ],
)
def test_a_bad_line_or_image_is_named_and_can_be_left_out(map_file, tmp_path, line, place, cause):
    (tmp_path / "half.png").write_bytes((tmp_path / "b.png").read_bytes()[:60])
    map_file.write_text(f".../a.bmp\t0\n{line}\n.../b.png\t1\n")
    with pytest.raises(ReaderError) as caught:
        first(map_file, [])
    assert str(caught.value).startswith(f"{map_file}{place}: {cause}")
    with pytest.warns(LabWarning, match="left out"):
        assert first(map_file, [], max_errors=1)[1].tolist() == [[1, 0], [0, 1]]
    streams = StreamDefs(image=StreamDef(field="image"), label=StreamDef(field="label", shape=2))
    report = check(ImageDeserializer(str(map_file), streams))
    assert (report.sequences, report.left_out, len(report.defects)) == (2, 1, 1)
    assert "object at" not in str(report)


def test_images_of_two_sizes_are_named(map_file, tmp_path):
    Image.new("RGB", (3, 3)).save(tmp_path / "b.png")
    with pytest.raises(ReaderError, match=r"images differ in size: 3 x 3 x 3 and 3 x 4 x 6"):
        first(map_file, [])


def test_base64_gives_what_files_give(map_file, tmp_path):
    lines = []
    for k, name in enumerate(("a.bmp", "b.png")):
        lines.append(f"{k}\t" + base64.b64encode((tmp_path / name).read_bytes()).decode())
    (tmp_path / "data.tsv").write_text("\n".join(lines))
    streams = StreamDefs(x=StreamDef(field="image"), y=StreamDef(field="label", shape=2))
    source = MinibatchSource(Base64ImageDeserializer(str(tmp_path / "data.tsv"), streams), randomize=False)
    minibatch = source.next_minibatch(2)
    np.testing.assert_array_equal(minibatch[source.streams.x].asarray()[0, 0], first(map_file, [])[0])
    assert minibatch[source.streams.y].asarray()[:, 0].tolist() == [[1, 0], [0, 1]]
    (tmp_path / "data.tsv").write_text("0\t!!!!\n")
    source = MinibatchSource(Base64ImageDeserializer(str(tmp_path / "data.tsv"), streams), randomize=False)
    with pytest.raises(ReaderError, match="the data are not base64"):
        source.next_minibatch(1)


def test_sixteen_bit_and_transparent_images_lose_what_a_byte_cannot_hold(tmp_path):
    Image.fromarray(np.full((2, 2), 0x8000, np.uint16)).save(tmp_path / "deep.png")
    buffer = io.BytesIO()
    Image.new("RGBA", (2, 2), (9, 8, 7, 0)).save(buffer, "PNG")
    (tmp_path / "clear.png").write_bytes(buffer.getvalue())
    (tmp_path / "map.txt").write_text(".../deep.png\t0\n.../clear.png\t0\n")
    source = MinibatchSource(
        ImageDeserializer(str(tmp_path / "map.txt"), StreamDefs(x=StreamDef(field="image"))), randomize=False
    )
    images = source.next_minibatch(2)[source.streams.x].asarray()[:, 0, :, 0, 0]
    assert images.tolist() == [[128, 128, 128], [7, 8, 9]]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: transforms.crop("middle"), "crop_type='middle'"),
        (lambda: transforms.crop(side_ratio=1.5), "side_ratio=1.5 is larger"),
        (lambda: transforms.crop(side_ratio=(0.5, 0.2)), "is no range"),
        (lambda: transforms.scale(0, 3, 3), "width=0"),
        (lambda: transforms.scale(3, 3, 3, "soft"), "interpolations='soft'"),
        (lambda: transforms.color(2), "brightnessRadius=2"),
    ],
)
def test_transforms_that_cannot_be_are_refused(call, words):
    with pytest.raises(AttributeValueError) as caught:
        call()
    assert words in str(caught.value)
