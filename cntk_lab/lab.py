"""The door of the notebook: ``from cntk_lab import lab``, then ``lab.show(model)`` and ``lab.train(...)``.

Verbs that each give a widget with a documented Python interface. Nothing below this file knows of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cntk_lab.errors import NotAvailableError, SignatureError
from cntk_lab.graph.function import Function
from cntk_lab.widgets import of_function

if TYPE_CHECKING:
    from cntk_lab.composer import Composer
    from cntk_lab.learners._learner import Learner
    from cntk_lab.train._control import Change
    from cntk_lab.train._history import History
    from cntk_lab.widgets.composer import GraphComposer
    from cntk_lab.widgets.graph_view import GraphView
    from cntk_lab.widgets.monitor import TrainingMonitor
    from cntk_lab.widgets.preview import ReaderPreview

__all__ = ["compose", "preview", "read_run", "show", "train", "write_events"]


def show(model: Function | str | os.PathLike[str], other: Function | str | os.PathLike[str] | None = None) -> GraphView:
    """A live view of a model's graph, or of what differs between two models.

    Blocks open in place, repeats are folded, the search understands ``op=Convolution & params>1e6``, and a click shows
    attributes, shapes, source line and the values of parameters.

    Args:
        model: the function to look into; or the path of a model file, CNTK's or ONNX (``*.onnx``).
        other: a second one; then the view shows what was added, removed and changed from ``model`` to ``other``.

    Returns:
        A ``GraphView``: ``expand``, ``select``, ``paint`` and ``save`` work on it from Python.

    Raises:
        NotAvailableError: if ipywidgets and anywidget are missing, or the front end was not built.
        FormatError: if a file is damaged, or does not exist.
        SignatureError: if something else is given.

    Example:
        >>> import cntk_lab as C
        >>> from cntk_lab import lab
        >>> model = C.sin(C.input_variable(3, name="x"))
        >>> view = lab.show(model)  # doctest: +SKIP
        >>> view.save("model.svg")  # doctest: +SKIP
    """
    for given in (model, other):
        if given is not None and not isinstance(given, Function | str | os.PathLike):
            raise SignatureError(
                f"lab.show takes models, not {type(given).__name__}",
                fix="give a Function (a layer that was applied, or not yet), or the path of a model file",
            )
    if not isinstance(model, Function) or not (other is None or isinstance(other, Function)):
        from cntk_lab.widgets import of_file

        return of_file.view_of(model, other)  # type: ignore[no-any-return]
    return of_function.view_of(model) if other is None else of_function.difference_of(model, other)  # type: ignore[no-any-return]


def compose(model: Function | str | os.PathLike[str] | Composer | None = None) -> GraphComposer:
    """A network to build and change by hand: palette, canvas and code beside each other, in step.

    The network exists at all times (``composer.model``), weights survive every edit that keeps their shape, and what
    does not fit is marked where it does not, with one fix that works.

    Args:
        model: a Function to open; a program as text; the path of one (``model.py``) or of a model file; None for an
            empty one.

    Returns:
        A ``GraphComposer``: ``add``, ``remove``, ``connect``, ``set``, ``group``, ``move``, ``fix``, ``undo``, ``redo``
        and ``save`` work on it from Python; ``composer.code`` is the program and can be set.

    Raises:
        NotAvailableError: if ipywidgets and anywidget are missing, or the front end was not built.
        GraphError: if the function has loops that no recurrent layer makes.

    Example:
        >>> from cntk_lab import lab
        >>> composer = lab.compose()  # doctest: +SKIP
        >>> hidden = composer.add("Dense", shape=64)  # doctest: +SKIP
        >>> composer.set(hidden, shape=128)  # doctest: +SKIP
        >>> composer.save("model.py")  # doctest: +SKIP
    """
    try:
        from cntk_lab.widgets.composer import GraphComposer
    except ModuleNotFoundError as error:
        raise NotAvailableError(
            f"no live view: the package {error.name} is missing", fix="pip install ipywidgets anywidget"
        ) from error
    return GraphComposer(model)


def train(
    what: Any,
    data: Any,
    learner: Learner | Iterable[Learner] | None = None,
    *,
    model: Any = None,
    streams: Mapping[Any, Any] | None = None,
    validation: Any = None,
    minibatch_size: int = 32,
    max_epochs: int | None = None,
    max_samples: int | None = None,
    max_steps: int | None = None,
    shuffle: bool = True,
    seed: int = 0,
    name: str = "",
    file: str | os.PathLike[str] | None = None,
    tensorboard: str | os.PathLike[str] | None = None,
    changes: Sequence[Change] = (),
    doctor: bool = True,
    labels: str | None = None,
) -> TrainingMonitor:
    """Training that goes on by itself while the notebook stays free: returns at once.

    Shown at the end of a cell it is a monitor with curves, progress and buttons. ``await`` on it keeps later cells
    waiting; ``wait()`` does the same in a script. Pausing, watching and the doctor change no number.

    Args:
        what: a Trainer; or a criterion: loss, (loss, metric) or a function with these outputs.
        data: {input or its name: array or list of sequences}; a tuple of these in the order of the inputs; one array,
            if there is one input; a table whose columns are called as the inputs; a source of minibatches; a list of
            minibatches; or a function that gives an iterator of them. Rows of pandas belong together by position,
            whatever their index says.
        learner: one or several, for a criterion.
        model: the network, for a criterion; what ``trainer.model`` gives.
        streams: {input: stream}, for a source whose streams are called otherwise than the inputs.
        validation: data as above, looked at after each sweep; or the part of the arrays that is held out for it, as
            0.2: random samples (by the seed), the last ones with ``shuffle=False``.
        minibatch_size: samples or sequences in a minibatch.
        max_epochs: sweeps over the data; 1 if there is no limit at all.
        max_samples: samples in all.
        max_steps: minibatches in all.
        shuffle: whether arrays are dealt out in a new order in each sweep.
        seed: of these orders.
        name: of the run, in legends and files.
        file: where to write the run's history while it grows, as JSON lines.
        tensorboard: folder for TensorBoard's events of the run, written while it grows.
        changes: of an earlier run (``history.changes``), to be made again at the same steps.
        doctor: whether to look for what is wrong, in one part in 1000 of the time.
        labels: "auto": class numbers (0, 1, 2, ...) given for an input that is a vector become one-hot vectors.

    Returns:
        A ``TrainingMonitor``: ``pause``, ``resume``, ``step``, ``stop``, ``set_learning_rate``, ``rewind``, ``fork``
        and ``compare`` work on it from Python; ``monitor.run.history`` has all numbers.

    Raises:
        NotAvailableError: if ipywidgets and anywidget are missing, or the front end was not built.
        SignatureError: if a criterion comes without learners, or a trainer with them.
        AttributeValueError: if the data do not belong to the criterion, or a limit is not positive.
        TrainingError: if another run of the same trainer is at work.

    Example:
        >>> from cntk_lab import lab
        >>> run = lab.train((loss, error), (X, Y), sgd(loss.parameters, 0.1), max_epochs=10)  # doctest: +SKIP
        >>> run.set_learning_rate(0.01)  # doctest: +SKIP
        >>> await run  # doctest: +SKIP
    """
    try:
        from cntk_lab.widgets.monitor import TrainingMonitor
    except ModuleNotFoundError as error:
        raise NotAvailableError(
            f"no live view: the package {error.name} is missing", fix="pip install ipywidgets anywidget"
        ) from error
    from cntk_lab.train._start import run_of

    run = run_of(
        what, data, learner, model=model, streams=streams, validation=validation, minibatch_size=minibatch_size,
        max_epochs=max_epochs, max_samples=max_samples, max_steps=max_steps, shuffle=shuffle, seed=seed, name=name,
        file=file, changes=changes, doctor=doctor, labels=labels,
    )  # fmt: skip
    monitor = TrainingMonitor(run)
    if tensorboard is not None:
        from cntk_lab.logging._run_events import follow_run

        follow_run(run, tensorboard)
    run.start()
    return monitor


def preview(
    source: Any,
    model: Function | None = None,
    streams: Mapping[Any, Any] | None = None,
    *,
    minibatch_size: int | None = None,
    vocabularies: Mapping[str, Sequence[str] | str | os.PathLike[str]] | None = None,
    forms: Mapping[str, str] | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> ReaderPreview:
    """A browser of the minibatches that a source delivers; the source, its place and its order stay as they are.

    Images in a grid, each transform step by step with its random draw; sequences as tokens, heat maps or curves; sparse
    features; lengths and what padding would waste; balance of classes; and whether the streams fit a model.

    Args:
        source: a MinibatchSource, a deserializer or several, {name: array or list of sequences}, a source written in
            Python (it is copied), a function that makes one; or a table of numbers (pandas DataFrame, Arrow Table, path
            of a ``.parquet`` file), whose columns are the streams.
        model: a function whose inputs are checked against the streams.
        streams: {input or its name: stream}, where names and shapes do not say it.
        minibatch_size: samples in a minibatch; None: enough for about 16 sequences.
        vocabularies: per stream a list of words, or the path of a file with one word in a line.
        forms: per stream how it is shown: "image", "heat", "curve", "tokens", "sparse" or "numbers".
        shapes: per stream the shape in which its samples are images, as (28, 28) for 784 numbers.

    Returns:
        A ``ReaderPreview``: ``next``, ``previous``, ``go``, ``statistics``, ``steps`` and ``check`` work on it from
        Python; ``minibatch`` has the arrays shown.

    Raises:
        NotAvailableError: if ipywidgets and anywidget are missing, or the front end was not built.
        AttributeValueError: if the source is none, or a name or number cannot be.
        ReaderError: if the source cannot be read.

    Example:
        >>> from cntk_lab import lab
        >>> preview = lab.preview(source, model)  # doctest: +SKIP
        >>> preview.statistics().waste  # doctest: +SKIP
    """
    try:
        from cntk_lab.widgets.preview import ReaderPreview
    except ModuleNotFoundError as error:
        raise NotAvailableError(
            f"no live view: the package {error.name} is missing", fix="pip install ipywidgets anywidget"
        ) from error
    made = ReaderPreview(
        source, minibatch_size=minibatch_size, vocabularies=vocabularies, forms=forms, shapes=shapes
    )  # fmt: skip
    if model is not None:
        made.check(model, streams)
    return made


def write_events(run: TrainingMonitor | History, folder: str | os.PathLike[str]) -> Path:
    """A run as an event file for TensorBoard: loss, metric, validation, learning rate and momentum by step.

    Args:
        run: a monitor, or a history as ``read_run`` gives it.
        folder: of the event file; it is made if it is missing.

    Returns:
        The path of the event file.

    Example:
        >>> from cntk_lab import lab
        >>> lab.write_events(lab.read_run("run.jsonl"), "events")  # doctest: +SKIP
    """
    from cntk_lab.logging._run_events import write_history

    return write_history(getattr(run, "history", run), folder)


def read_run(path: str | os.PathLike[str]) -> History:
    """The history of a run from its file, to look at, to compare and to repeat.

    Args:
        path: of a file that ``lab.train(file=...)`` or ``run.save`` wrote.

    Returns:
        A ``History``: ``loss``, ``metric``, ``validation``, ``changes`` and more.

    Raises:
        FormatError: if the file is of another format, or damaged.

    Example:
        >>> from cntk_lab import lab
        >>> lab.train(trainer, data, changes=read_run("run.jsonl").changes)  # doctest: +SKIP
    """
    from cntk_lab.train._history import read

    return read(path)
