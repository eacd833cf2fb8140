"""The user's arrays as minibatches: rows are paired by position, whatever library holds them."""

import numpy as np
import pytest

import cntk_lab as C
from cntk_lab.errors import AttributeValueError, DataError, LabError
from cntk_lab.train._arrays import Arrays
from cntk_lab.train._feed import feed_of
from cntk_lab.train._start import run_of

ROWS = np.arange(16, dtype=np.float32).reshape(8, 2)
NUMBERS = np.arange(8, dtype=np.float32)
CLASSES = np.array([0, 1, 2, 1, 0, 2, 1, 0])
PERMUTED = [3, 1, 7, 0, 2, 6, 5, 4]


class Labelled:
    """A column that gives its rows by label, as pandas does."""

    def __init__(self, values, labels):
        self._values, self._labels = np.asarray(values), list(labels)
        self.shape = self._values.shape

    def __len__(self):
        return len(self._values)

    def __getitem__(self, picked):
        return self._values[[self._labels.index(i) for i in np.arange(len(self))[picked]]]

    def to_numpy(self):
        return self._values


def labelled(kind):
    """ROWS and NUMBERS whose labels are permuted."""
    if kind == "our own":
        return Labelled(ROWS, PERMUTED), Labelled(NUMBERS, PERMUTED)
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(ROWS, index=PERMUTED, columns=["a", "b"])
    return table, pandas.Series(NUMBERS, index=PERMUTED)


def inputs():
    x, y = C.input_variable(2, name="x"), C.input_variable(1, name="y")
    return x, y, C.squared_error(C.layers.Dense(1)(x), y)


def dealt(feed, samples=8):
    """Everything that a feed gives in a sweep, by the names of the inputs."""
    parts = {}
    for _ in range(samples):
        fed = feed.next(3)
        for key, values in fed.arguments.items():
            parts.setdefault(key.name, []).append(np.asarray(values))
        if fed.ends_sweep:
            break
    return {name: np.concatenate(values) for name, values in parts.items()}


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("kind", ["our own", "pandas"])
def test_rows_belong_together_by_position_not_by_label(kind, shuffle):
    x, y, _ = inputs()
    rows, numbers = labelled(kind)
    for given in ({x: rows, y: numbers}, {"x": ROWS, "y": numbers}, (rows, NUMBERS)):
        got = dealt(feed_of(given, [x, y], None, shuffle, 3))
        np.testing.assert_array_equal(got["x"][:, 0], 2 * got["y"][:, 0])
        assert sorted(got["y"].ravel()) == NUMBERS.tolist()
        assert (got["y"].ravel().tolist() == NUMBERS.tolist()) != shuffle


@pytest.mark.parametrize("kind", ["our own", "pandas"])
def test_training_on_labelled_rows_is_training_on_their_numbers(kind):
    weights = []
    for given in ((ROWS, NUMBERS[:, None]), labelled(kind)):
        x, y, _ = inputs()
        w = C.parameter(init=np.ones((2, 1), np.float32))
        loss = C.squared_error(C.times(x, w), y)
        run = run_of(loss, dict(zip((x, y), given, strict=True)), C.sgd([w], 0.001), minibatch_size=3, max_epochs=2)
        run.start()
        run.wait()
        loss.train(given, minibatch_size=3, max_epochs=1, parameter_learners=[C.sgd([w], 0.001)])
        weights.append(w.value)
    np.testing.assert_array_equal(*weights)


def test_a_table_whose_columns_are_called_as_the_inputs_is_taken_by_name():
    pandas = pytest.importorskip("pandas")
    a, b = C.input_variable(1, name="a"), C.input_variable(1, name="b")
    table = pandas.DataFrame({"b": NUMBERS * 10, "other": NUMBERS, "a": NUMBERS}, index=PERMUTED)
    got = dealt(feed_of(table, [a, b], None, True, 0))
    np.testing.assert_array_equal(got["b"], 10 * got["a"])


def test_one_array_is_the_data_of_the_only_input():
    x = C.input_variable(2, name="x")
    assert dealt(feed_of(ROWS, [x], None, False, 0))["x"].tolist() == ROWS.tolist()
    y = C.input_variable(1, name="y")
    with pytest.raises(AttributeValueError, match="1 part, the criterion has 2 inputs"):
        feed_of(ROWS, [x, y], None, False, 0)


def test_class_numbers_become_one_hot_vectors_if_that_is_said():
    x, n = C.input_variable(2, name="x"), C.input_variable(3, name="n")
    got = dealt(feed_of((ROWS, CLASSES), [x, n], None, True, 0, "auto"))
    assert got["n"].argmax(1).tolist() == CLASSES[(got["x"][:, 0] / 2).astype(int)].tolist()
    assert got["n"].dtype == np.float32
    assert (got["n"].sum(1) == 1).all()


def test_class_numbers_train_a_sparse_input_as_vectors_train_a_dense_one():
    losses = []
    for sparse, given in ((True, CLASSES), (False, np.eye(3, dtype=np.float32)[CLASSES])):
        x, n = C.input_variable(2, name="x"), C.input_variable(3, name="n", is_sparse=sparse)
        w = C.parameter(init=np.ones((2, 3), np.float32))
        loss = C.cross_entropy_with_softmax(C.times(x, w), n)
        run = run_of(loss, (ROWS, given), C.sgd([w], 0.01), labels="auto", max_epochs=2, minibatch_size=4)
        run.start()
        run.wait()
        losses.append(np.asarray(run.history.loss))
    np.testing.assert_allclose(*losses, rtol=1e-6)


@pytest.mark.parametrize(
    ("numbers", "labels", "words"),
    [
        (CLASSES, None, 'labels="auto"'),
        (CLASSES + 1, "auto", "class 3 at sample 2; the input has 3 classes, 0 to 2"),
        (CLASSES, "one-hot", "labels='one-hot'"),
    ],
)
def test_class_numbers_that_cannot_be_are_told_before_training(numbers, labels, words):
    x, n = C.input_variable(2, name="x"), C.input_variable(3, name="n")
    with pytest.raises(LabError) as told:
        feed_of((ROWS, numbers), [x, n], None, True, 0, labels)
    assert words in str(told.value)


@pytest.mark.parametrize(
    "given",
    [CLASSES.tolist(), CLASSES[:, None], CLASSES.astype(np.float32), CLASSES.astype(np.uint8)],
    ids=["a list", "a column", "floats", "bytes"],
)
def test_class_numbers_are_known_in_every_form(given):
    x, n = C.input_variable(2, name="x"), C.input_variable(3, name="n")
    got = dealt(feed_of((ROWS, given), [x, n], None, False, 0, "auto"))
    assert got["n"].argmax(1).tolist() == CLASSES.tolist()
    with pytest.raises(DataError, match='labels="auto"'):
        feed_of((ROWS, given), [x, n], None, False, 0)


def test_a_column_of_arrays_is_a_sample_each_and_words_are_told_at_the_door():
    x = C.input_variable(2, name="x")
    column = np.empty(8, object)
    column[:] = list(ROWS)
    assert dealt(feed_of({x: column}, [x], None, False, 0))["x"].tolist() == ROWS.tolist()
    for words in (np.array(["cat", "dog"] * 4), np.array(["cat", 2] * 4, object)):
        with pytest.raises(DataError, match=r"a str.* among them, 'cat'"):
            feed_of({x: words}, [x], None, False, 0)


def test_values_are_dealt_out_like_arrays():
    x, s = C.input_variable(2, name="x"), C.sequence.input_variable(2, name="s")
    value = C.Value.create(x, ROWS)
    assert dealt(feed_of({x: value}, [x], None, True, 1))["x"].shape == ROWS.shape
    parts = [ROWS[:3], ROWS[3:4], ROWS[4:]]
    fed = feed_of({s: C.Value.create(s, parts)}, [s], None, False, 0).next(3)
    assert [np.asarray(p).tolist() for p in fed.arguments[s]] == [p.tolist() for p in parts]


def test_a_part_held_out_for_validation_is_trained_on_by_nobody():
    x, y, loss = inputs()
    for shuffle in (True, False):
        rest, held = Arrays({x: ROWS, y: NUMBERS[:, None]}, shuffle, 5).hold_out(0.25)
        seen, kept = dealt(rest)["y"].ravel().tolist(), dealt(held)["y"].ravel().tolist()
        assert sorted(seen + kept) == NUMBERS.tolist()
        assert len(kept) == 2
        assert (kept == [6, 7]) != shuffle
    run = run_of(loss, (ROWS, NUMBERS), C.sgd(loss.parameters, 0.001), validation=0.25, max_epochs=3)
    run.start()
    run.wait()
    assert len(run.history.validation) == 3
    assert run.history.samples[-1] == 18


@pytest.mark.parametrize("part", [0, 1.0, 0.01, -1])
def test_a_part_that_leaves_nothing_is_refused(part):
    _, _, loss = inputs()
    with pytest.raises(AttributeValueError, match="validation="):
        run_of(loss, (ROWS, NUMBERS), C.sgd(loss.parameters, 0.001), validation=part)


def test_streams_that_are_called_as_the_inputs_need_not_be_named():
    x, y, loss = inputs()
    source = C.io.MinibatchSourceFromData({"x": ROWS, "y": NUMBERS[:, None]}, max_samples=8)
    run = run_of(loss, source, C.sgd(loss.parameters, 0.001), minibatch_size=4)
    run.start()
    run.wait()
    assert run.history.samples[-1] == 8
    with pytest.raises(AttributeValueError, match="its streams are 'x', 'z'"):
        feed_of(C.io.MinibatchSourceFromData({"x": ROWS, "z": ROWS}), [x, y], None, False, 0)


def test_sparse_rows_of_other_formats_are_told():
    sparse = pytest.importorskip("scipy.sparse")
    x = C.input_variable(2, name="x", is_sparse=True)
    with pytest.raises(DataError, match="tocsr"):
        feed_of(sparse.coo_matrix(ROWS), [x], None, False, 0)
