"""The reader preview's Python side; it needs no kernel and no browser (ipywidgets makes a dummy comm)."""

from __future__ import annotations

import time
import tracemalloc
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image
from scipy.sparse import csr_matrix

import cntk_lab as C
from cntk_lab import lab
from cntk_lab.errors import AttributeValueError, FormatError, ReaderError
from cntk_lab.io import (
    CTFDeserializer,
    DatasetDeserializer,
    ImageDeserializer,
    MinibatchSource,
    MinibatchSourceFromData,
    StreamDef,
    StreamDefs,
    StreamInformation,
    TableDeserializer,
    UserDeserializer,
    UserMinibatchSource,
    transforms,
)
from cntk_lab.learners import learning_parameter_schedule, sgd
from cntk_lab.widgets._preview_cells import image_cell
from cntk_lab.widgets._preview_picture import png
from cntk_lab.widgets.preview import ReaderPreview

pytestmark = pytest.mark.usefixtures("front_end")

RNG = np.random.default_rng(3)
ROWS = RNG.normal(size=(40, 3)).astype(np.float32)


def words_file(folder, count=60, damage=()):
    """Tagged sentences of 1 to 6 words."""
    lines = []
    for i in range(count):
        for t in range(1 + i % 6):
            word = "oh:no" if i in damage and t == 0 else f"{(i + t) % 9}:1"
            lines.append(f"{i} |word {word}" + (f" |tag {i % 4}:1" if t == 0 else ""))
    path = folder / "words.ctf"
    path.write_text("\n".join(lines) + "\n")
    return path


def sentences(folder, **more):
    streams = StreamDefs(
        word=StreamDef(field="word", shape=9, is_sparse=True), tag=StreamDef(field="tag", shape=4, is_sparse=True)
    )
    return CTFDeserializer(str(words_file(folder, **more)), streams)


def images(folder, count=12):
    for i in range(count):
        pixels = RNG.integers(0, 255, (20, 24, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    (folder / "map.txt").write_text("".join(f".../{i}.png\t{i % 3}\n" for i in range(count)))
    steps = [transforms.crop("randomside", side_ratio=(0.6, 0.9), jitter_type="uniratio"), transforms.scale(16, 16, 3)]
    streams = StreamDefs(image=StreamDef(field="image", transforms=steps), label=StreamDef(field="label", shape=3))
    return ImageDeserializer(str(folder / "map.txt"), streams)


class Counting(UserMinibatchSource):
    """Numbers one after the other, with a place that moves."""

    def __init__(self):
        self.at = 0
        super().__init__()

    def stream_infos(self):
        return [StreamInformation("x", 0, "dense", np.float32, (1,))]

    def next_minibatch(self, num_samples, *_more, **_names):
        if self.at >= 20:
            return {}
        first, self.at = self.at, min(self.at + num_samples, 20)
        data = MinibatchSourceFromData({"x": np.arange(first, self.at, dtype=np.float32)[:, None]})
        return {self.streams.x: next(iter(data.next_minibatch(num_samples).values()))}


class Squares(UserDeserializer):
    def stream_infos(self):
        return [StreamInformation("y", 0, "dense", np.float32, (1,))]

    def num_chunks(self):
        return 3

    def get_chunk(self, chunk_id):
        return {"y": np.arange(chunk_id * 8, chunk_id * 8 + 8, dtype=np.float32)[:, None] ** 2}


def shown(preview):
    """The minibatch as plain lists."""

    def plain(rows):
        return np.asarray(rows.toarray() if hasattr(rows, "toarray") else rows).tolist()

    return {name: [plain(s) for s in sequences] for name, sequences in preview.minibatch.items()}


# --- every kind of source


SOURCES = {
    "arrays": lambda _: {"x": ROWS},
    "lists": lambda _: {"x": [ROWS[: 1 + i % 4] for i in range(20)]},
    "sparse": lambda _: {"x": csr_matrix(np.eye(20, dtype=np.float32))},
    "from data": lambda _: MinibatchSourceFromData({"x": ROWS, "y": ROWS[:, :1]}),
    "text": sentences,
    "text source": lambda folder: MinibatchSource(sentences(folder)),
    "truncated": lambda folder: MinibatchSource(sentences(folder), truncation_length=2),
    "images": images,
    "table": lambda _: TableDeserializer({"v": ROWS[:, 0]}, StreamDefs(x=StreamDef(field="v", shape=1))),
    "items": lambda _: DatasetDeserializer([(r, 1) for r in ROWS], StreamDefs(x=StreamDef(field=0, shape=3))),
    "chunks of the user": lambda _: Squares(),
    "source of the user": lambda _: Counting(),
    "function": lambda _: Counting,
}


@pytest.mark.parametrize("kind", SOURCES)
def test_every_kind_of_source_is_shown_counted_and_gone_through(tmp_path, kind):
    preview = ReaderPreview(SOURCES[kind](tmp_path), minibatch_size=4)
    first = shown(preview)
    assert all(len(sequences) for sequences in first.values())
    assert preview.next() == 1
    second = shown(preview)
    assert second != first
    assert (preview.previous(), shown(preview)) == (0, first)
    assert (preview.previous(), preview.go(2), preview.go(1)) == (0, 2, 1)
    assert shown(preview) == second
    numbers = preview.statistics()
    assert sum(numbers.lengths) > 0
    assert 0 <= numbers.waste < 1
    assert preview.measured["basis"].endswith(("sequences", "chunks")) or " of " in preview.measured["basis"]
    forms = preview.static_forms()
    ET.fromstring(forms["image/svg+xml"])
    assert forms["text/plain"].startswith("minibatch 1: ")
    preview.close()


@pytest.mark.parametrize("kind", ["arrays", "lists", "text", "items", "source of the user"])
def test_the_end_is_the_end(tmp_path, kind):
    preview = ReaderPreview(SOURCES[kind](tmp_path), minibatch_size=16)
    last = preview.number
    while preview.next() != last:
        last = preview.number
        assert last < 100
    assert preview.content["last"]
    assert preview.content["items"] != []


def test_the_preview_shows_what_training_sees(tmp_path):
    source = MinibatchSource(sentences(tmp_path), randomization_seed=5)
    preview = lab.preview(source, minibatch_size=10)
    for number in range(12):  # over the end of the sweep
        minibatch = source.next_minibatch(10)
        expected = [s.toarray().tolist() for s in minibatch[source.streams.word].as_sequences()]
        assert (preview.go(number), shown(preview)["word"]) == (number, expected)


def test_images_are_cut_as_in_training(tmp_path):
    source = MinibatchSource(images(tmp_path), randomization_seed=2)
    preview = lab.preview(source, minibatch_size=5)
    minibatch = source.next_minibatch(5)
    np.testing.assert_array_equal(np.stack(preview.minibatch["image"]), minibatch[source.streams.image].asarray())
    steps = preview.steps(3)["image"]
    assert [kind for kind, _, _ in steps] == ["image", "crop", "scale"]
    np.testing.assert_array_equal(steps[-1][2].transpose(2, 0, 1), preview.minibatch["image"][3][0])
    traced = preview.traced["streams"][0]
    assert (traced["name"], [s["kind"] for s in traced["steps"]]) == ("image", ["image", "crop", "scale"])
    assert "pixels from column" in traced["steps"][1]["draws"][0]


# --- a preview disturbs nothing


def orders(source, peek=lambda: None):
    """The labels that a training run sees, and its losses."""
    x, y = C.sequence.input_variable(9, is_sparse=True), C.input_variable(4, is_sparse=True)
    z = C.layers.Sequential([C.layers.Embedding(5, init=0.1), C.sequence.last, C.layers.Dense(4, init=0.1)])(x)
    loss = C.cross_entropy_with_softmax(z, y)
    trainer = C.Trainer(z, (loss, None), [sgd(z.parameters, learning_parameter_schedule(0.1))])
    seen = []
    for _ in range(8):
        minibatch = source.next_minibatch(16)
        seen.append([s.toarray().tolist() for s in minibatch[source.streams.word].as_sequences()])
        trainer.train_minibatch({x: minibatch[source.streams.word], y: minibatch[source.streams.tag]})
        seen.append(trainer.previous_minibatch_loss_average)
        peek()
    return seen, source.get_checkpoint_state()


def test_training_is_the_same_with_and_without_a_preview(tmp_path):
    deserializer = sentences(tmp_path)
    alone = orders(MinibatchSource(deserializer, randomization_seed=1))
    source = MinibatchSource(deserializer, randomization_seed=1)
    preview = lab.preview(source, minibatch_size=7)

    def peek():
        preview.next()
        preview.go(20)
        preview.statistics(30)
        preview.at_training()
        preview.previous()

    watched = orders(source, peek)
    assert watched == alone
    preview.close()
    assert source.next_minibatch(16)
    with pytest.raises(AttributeValueError, match="the preview is closed"):
        preview.next()


@pytest.mark.parametrize("make", [Counting, lambda: MinibatchSourceFromData({"x": ROWS})])
def test_sources_in_memory_stay_where_they_are(make):
    source, other = make(), make()
    source.next_minibatch(3)
    other.next_minibatch(3)
    preview = lab.preview(source, minibatch_size=2)
    preview.next()
    preview.go(5)
    preview.statistics()
    ours, theirs = source.next_minibatch(3), other.next_minibatch(3)
    [mine], [yours] = ours.values(), theirs.values()
    np.testing.assert_array_equal(mine.asarray(), yours.asarray())


def test_where_training_is_can_be_shown(tmp_path):
    source = MinibatchSource(sentences(tmp_path), randomize=False, max_sweeps=1)
    for _ in range(3):
        source.next_minibatch(10)
    preview = lab.preview(source, minibatch_size=10)
    assert preview.at_training() == 3
    expected = [s.toarray().tolist() for s in source.next_minibatch(10)[source.streams.word].as_sequences()]
    assert shown(preview)["word"] == expected
    with pytest.raises(AttributeValueError, match="not known where training is"):
        lab.preview({"x": ROWS}).at_training()


def test_a_source_that_cannot_be_copied_is_refused_with_a_way_out():
    class Locked(Counting):
        def __deepcopy__(self, memo):
            raise TypeError("it holds a socket")

    with pytest.raises(
        ReaderError, match=r"(?s)cannot be looked at without moving it.*lab.preview\(lambda: MySource"
    ) as error:
        lab.preview(Locked())
    assert "it holds a socket" in str(error.value)
    assert lab.preview(Locked, minibatch_size=3).next() == 1


# --- time and memory


@pytest.fixture(scope="module")
def million(tmp_path_factory):
    path = tmp_path_factory.mktemp("big") / "million.ctf"
    block = "".join(f"|x {i % 7} {i % 5} 1 |y {i % 10}:1\n" for i in range(10_000))
    with path.open("w") as file:
        for _ in range(100):
            file.write(block)
    streams = StreamDefs(x=StreamDef(field="x", shape=3), y=StreamDef(field="y", shape=10, is_sparse=True))
    source = MinibatchSource(CTFDeserializer(str(path), streams))
    ReaderPreview(source).static_forms()  # imports
    return source


@pytest.mark.parametrize("kind", ["text", "array"])
def test_a_million_samples_open_in_half_a_second_and_hold_one_minibatch(million, kind, capsys):
    source = million if kind == "text" else {"x": np.ones((1_000_000, 20), np.float32)}
    taken = []
    for _ in range(3):
        begun = time.perf_counter()
        preview = ReaderPreview(source)
        preview.static_forms()
        taken.append(time.perf_counter() - begun)
        preview.close()
    tracemalloc.start()
    preview = ReaderPreview(source)
    preview.go(100)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    with capsys.disabled():
        print(f"\n1e6 samples ({kind}): opens in {1000 * min(taken):.0f} ms, holds {held / 1e6:.1f} MB")
    assert min(taken) < 0.5
    assert held < 12e6  # an array of 1e6 samples: 8 MB of ends; text: less than 1 MB
    assert preview.content["sequences"] == 16


def test_a_large_source_that_shuffles_says_so_and_can_be_shown_in_training_order(million):
    preview = ReaderPreview(million)
    assert (preview.content["order"], preview.content["shuffles"]) == ("in the order of the data", True)
    preview.in_training_order()
    assert preview.content["order"] == "in the order in which training sees them"
    expected = million.next_minibatch(16)[million.streams.x].asarray()
    np.testing.assert_array_equal(np.stack(preview.minibatch["x"]), expected)


# --- what is shown


def cell(preview, stream, sequence=0):
    names = [s["name"] for s in preview.content["streams"]]
    return preview.content["items"][sequence]["cells"][names.index(stream)]


def test_forms_follow_the_data():
    t = np.linspace(0, 20, 500, dtype=np.float32)[:, None]
    data = {
        "picture": RNG.random((6, 3, 20, 20), np.float32),
        "class": np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 0, 1]],
        "few": ROWS[:6],
        "many": RNG.normal(size=(6, 200)).astype(np.float32),
        "wave": [np.sin(t)] * 6,
        "frames": [np.ones((30, 13), np.float32)] * 6,
        "bag": csr_matrix(np.array([[0, 2, 0, 3.5]] * 6, np.float32)),
    }
    preview = ReaderPreview(data)
    assert preview.minibatch_size == 16 * 500  # about 16 sequences
    assert {s["name"]: s["form"] for s in preview.content["streams"]} == {
        "picture": "image", "class": "tokens", "few": "numbers", "many": "heat", "wave": "curve", "frames": "heat",
        "bag": "sparse",
    }  # fmt: skip
    assert cell(preview, "picture")["channels"] == 3
    assert cell(preview, "class", 2)["tokens"] == ["2"]
    assert cell(preview, "bag")["frames"][0]["entries"] == [["1", 2.0], ["3", 3.5]]
    wave = cell(preview, "wave")
    assert len(wave["points"]) == 600
    assert (round(wave["low"], 2), round(wave["high"], 2)) == (-1.0, 1.0)
    heat = cell(preview, "frames")
    assert (heat["width"], heat["height"], len(heat["pixels"])) == (30, 13, 390)


def test_the_user_may_say_how_a_stream_is_shown(tmp_path):
    (tmp_path / "words.txt").write_text("the\ncat\n<b>sat</b>\n", encoding="utf-8")
    data = {"digit": np.arange(2 * 784, dtype=np.float32).reshape(2, 784) % 255, "word": np.eye(3)[[2, 0]]}
    preview = ReaderPreview(data, shapes={"digit": (28, 28)}, vocabularies={"word": tmp_path / "words.txt"})
    assert (cell(preview, "digit")["form"], cell(preview, "digit")["width"]) == ("image", 28)
    assert cell(preview, "word")["tokens"] == ["<b>sat</b>"]
    assert "&lt;b&gt;sat" in preview.static_forms()["image/svg+xml"]
    assert "<b>" not in preview.static_forms()["image/svg+xml"]
    assert ReaderPreview(data, forms={"digit": "heat"}).content["streams"][0]["form"] == "heat"
    for given in ({"forms": {"no": "heat"}}, {"forms": {"digit": "pie"}}, {"vocabularies": {"word": tmp_path / "x"}}):
        with pytest.raises(AttributeValueError):
            ReaderPreview(data, **given)


def test_blue_first_images_are_shown_in_their_colours(tmp_path):
    Image.fromarray(np.full((8, 8, 3), (250, 100, 10), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "map.txt").write_text(".../a.png\t0\n")
    preview = ReaderPreview(ImageDeserializer(str(tmp_path / "map.txt"), StreamDefs(x=StreamDef(field="image"))))
    assert list(cell(preview, "x")["pixels"][:3]) == [250, 100, 10]
    preview.steps(0)
    assert list(preview.traced["streams"][0]["steps"][0]["pixels"][:3]) == [250, 100, 10]


def test_a_png_holds_the_pixels(tmp_path):
    pixels = RNG.integers(0, 255, (5, 7, 3), np.uint8)
    (tmp_path / "a.png").write_bytes(png({"width": 7, "height": 5, "channels": 3, "pixels": pixels.tobytes()}))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), pixels)


def test_values_that_are_not_finite_are_told():
    rows = ROWS.copy()
    rows[1, 2], rows[2, 0] = np.nan, np.inf
    preview = ReaderPreview({"x": rows})
    assert preview.content["streams"][0]["notFinite"] == 2
    assert cell(preview, "x", 1)["rows"][0][2] is None
    assert preview.statistics().streams[0].not_finite == 2


def test_bad_places_are_shown_with_line_and_column(tmp_path):
    preview = ReaderPreview(sentences(tmp_path, damage=(2,)), minibatch_size=12)
    assert preview.content["leftOut"] == 1
    [[place, cause, words]] = preview.content["defects"]
    assert place.startswith(f"{tmp_path}/words.ctf:4:")
    assert cause
    assert "^" in words


@pytest.mark.parametrize(("rows", "columns"), [(300, 150), (40, 400), (3000, 8), (20, 30)])
def test_pictures_keep_their_proportions(rows, columns):
    image = np.arange(rows * columns, dtype=np.float32).reshape(1, rows, columns)
    shown = cell(ReaderPreview({"x": image[None]}), "x", 0)
    part = min(1, 96 / max(rows, columns))
    assert (shown["height"], shown["width"]) == (max(1, round(rows * part)), round(columns * part) or 1)
    assert (shown["fullHeight"], shown["fullWidth"]) == (rows, columns)
    assert (shown["black"], shown["white"]) == (0, rows * columns - 1)


def test_data_that_are_no_sequences_have_no_lengths():
    preview = ReaderPreview({"x": ROWS})
    words = " ".join(preview.statistics().words())
    assert "x: " in words
    assert "length" not in words
    assert "padding" not in words
    assert "lengths" not in preview.static_forms()["text/plain"]


def test_classes_are_missing_only_in_what_was_looked_at():
    preview = ReaderPreview({"y": np.eye(50, dtype=np.float32)[np.arange(200) % 40]})
    [line] = [w for w in preview.statistics(sample=20).words() if "do not occur" in w]
    assert "do not occur in 20 sequences, evenly chosen of 200: " in line


def test_more_sequences_than_fit_are_counted():
    preview = ReaderPreview({"x": ROWS}, minibatch_size=40)
    assert (len(preview.content["items"]), preview.content["more"], preview.content["sequences"]) == (32, 8, 40)


# --- numbers


def test_lengths_padding_and_classes(tmp_path):
    lengths = [1, 1, 1, 5, 3, 3]
    data = {"x": [np.ones((n, 2), np.float32) for n in lengths], "y": np.eye(4, dtype=np.float32)[[0, 0, 0, 0, 1, 3]]}
    numbers = ReaderPreview(data, minibatch_size=8).statistics()
    # minibatches: (1, 1, 1, 5) padded to 20 and (3, 3) to 6: 12 of 26 are padding
    assert numbers.waste == pytest.approx(12 / 26)
    assert (numbers.lengths, numbers.edges[:2]) == ([3, 0, 2, 0, 1], [1.0, 2.0])
    assert numbers.streams[1].classes == [4, 1, 0, 1]
    words = "\n".join(numbers.words())
    assert "padding would waste 46 % of a minibatch" in words
    assert "1 of 4 classes do not occur in all 6 sequences: 2" in words
    assert "all 6 sequences" in words


def test_a_sample_is_bounded_and_says_so(tmp_path):
    preview = ReaderPreview(sentences(tmp_path, count=600))
    numbers = preview.statistics(100)
    assert "of 600" in numbers.basis
    assert sum(s.shortest for s in numbers.streams) > 0
    assert numbers.lengths_basis == "all 600 sequences"
    with pytest.raises(AttributeValueError, match="a sample of 0"):
        preview.statistics(0)


def test_images_are_not_decoded_to_count_their_labels(tmp_path, monkeypatch):
    from cntk_lab.io import _pixels

    preview = ReaderPreview(images(tmp_path))
    monkeypatch.setattr(_pixels, "decode", lambda _content: pytest.fail("an image was decoded"))
    assert [s.name for s in preview.statistics().streams] == ["label"]
    assert preview.statistics().streams[0].classes == [4, 4, 4]


# --- a model's inputs


def check(data, *inputs, **more):
    model = C.combine([i * 1 for i in inputs])
    return {m.input or m.stream: m for m in ReaderPreview(data).check(model, **more)}


def test_streams_that_fit_are_found_by_name_and_by_shape():
    found = check({"x": ROWS, "label": ROWS[:, :1]}, C.input_variable(3, name="x"), C.input_variable(1, name="target"))
    assert {k: (m.state, m.stream) for k, m in found.items()} == {"x": ("fits", "x"), "target": ("fits", "label")}


SEQUENCE = "sequences of up to 4 frames"
MISFITS = [
    ({"x": ROWS}, lambda: C.input_variable(5, name="x"), "3 arrives, 5 expected", "shape (3,)"),
    ({"x": ROWS}, lambda: C.input_variable((1, 3), name="x"), "3 arrives, 1 x 3 expected", "C.reshape(x, (1, 3))"),
    ({"x": [ROWS[:4]]}, lambda: C.input_variable(3, name="x"), SEQUENCE, "C.sequence.input_variable"),
    ({"x": ROWS, "y": ROWS}, lambda: C.input_variable(3, name="q"), "no stream goes", "streams={'q': ...}"),
]


@pytest.mark.parametrize(("data", "make", "problem", "fix"), MISFITS)
def test_what_does_not_fit_is_named_with_a_fix_and_the_engine_agrees(data, make, problem, fix):
    variable = make()
    match = check(data, variable)[variable.name]
    assert match.state == "wrong"
    assert problem in match.problem
    assert fix in match.fix
    if match.stream:
        source = MinibatchSourceFromData(data)
        with pytest.raises(C.errors.LabError):
            (variable * 1).eval({variable: source.next_minibatch(4)[source[match.stream]]})


def test_streams_of_unequal_lengths_on_one_axis_are_told():
    data = {"x": [ROWS[:3], ROWS[:2]], "y": [ROWS[:1], ROWS[:2]]}
    found = check(data, C.sequence.input_variable(3, name="x"), C.sequence.input_variable(3, name="y"))
    assert (found["x"].state, found["y"].state) == ("fits", "wrong")
    assert "not as long as those of 'x'" in found["y"].problem


def test_the_match_is_drawn_and_streams_can_be_named():
    preview = lab.preview({"a": ROWS, "b": ROWS}, C.input_variable(4, name="<q>") * 1, {"<q>": "b"})
    [match, unused] = preview.matched
    assert (match["stream"], match["state"], unused["stream"], unused["state"]) == ("b", "wrong", "a", "unused")
    svg = preview.static_forms()["image/svg+xml"]
    assert "3 arrives, 4 expected" in svg
    assert "&lt;q&gt;" in svg
    with pytest.raises(AttributeValueError, match="there is no stream 'c'"):
        preview.check(C.input_variable(4, name="q") * 1, {"q": "c"})


# --- requests, files and refusals


def from_browser(preview, **request):
    """What the kernel answers to a request of the browser."""
    sent = []
    preview.send = lambda content, buffers=None: sent.append(content)
    data = {"method": "custom", "content": {"number": 1, "request": {"kind": "browse", **request}}}
    preview._handle_msg({"content": {"data": data}, "buffers": []})
    [answer] = sent
    return answer["reply"]


def test_buttons_do_what_methods_do():
    preview = ReaderPreview({"x": ROWS}, minibatch_size=20)
    assert from_browser(preview, to="next", number=0) == {"kind": "done", "message": ""}
    assert preview.number == 1
    assert from_browser(preview, to="next", number=0)["message"] == "That was the last minibatch."
    from_browser(preview, to="size", number=8)
    assert (preview.number, preview.minibatch_size, preview.content["sequences"]) == (0, 8, 8)
    from_browser(preview, to="statistics", number=0)
    assert preview.measured["shortest"] == 1
    assert from_browser(preview, to="steps", number=99)["kind"] == "failed"
    assert from_browser(preview, to="go", number=-1)["kind"] == "failed"


def test_a_picture_is_written_whole_and_is_the_same_each_time(tmp_path):
    preview = ReaderPreview({"x": RNG.random((6, 1, 9, 9)), "y": np.eye(6)})
    path = preview.save(tmp_path / "deep" / "a.svg")
    first = path.read_text()
    ET.fromstring(first)
    assert preview.save(path).read_text() == first
    assert [p.name for p in path.parent.iterdir()] == ["a.svg"]
    with pytest.raises(FormatError, match=r"end the name with \.svg"):
        preview.save(tmp_path / "a.png")


@pytest.mark.parametrize("wrong", [3, "text", object(), {}, {"x": ["a", "b"]}, {"x": np.array(["a"])}])
def test_what_is_no_source_is_refused(wrong):
    with pytest.raises((AttributeValueError, ReaderError)):
        lab.preview(wrong)


def test_an_empty_minibatch_size_is_refused():
    with pytest.raises(AttributeValueError, match="minibatch size is 0"):
        lab.preview({"x": ROWS}, minibatch_size=0)


@pytest.mark.parametrize(
    ("image", "exact"), [([[0, 255], [7, 8]], True), ([[0, 254.5], [7, 8]], False), ([[0, 1], [1, 0.5]], False)]
)
def test_bytes_of_a_picture_are_called_its_values_only_where_they_are(image, exact):
    assert image_cell(np.tile(np.array(image, np.float32), (1, 8, 8)), False, 96)["exact"] is exact
