"""TensorBoardProgressWriter: progress of training as curves, images and a graph that TensorBoard shows.

Knows progress and graphs; what an event file is, is in ``_events``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from cntk_lab.graph.function import Function
from cntk_lab.graph.inspect import graph_snapshot
from cntk_lab.logging._events import EventFile, pixels_of
from cntk_lab.logging._writer import NEVER, ProgressWriter, Range, Sums


class TensorBoardProgressWriter(ProgressWriter):
    """Writes loss and metric into an event file for TensorBoard.

    Curves ``minibatch/avg_loss`` and ``minibatch/avg_metric`` have a point every ``freq`` minibatches,
    ``summary/avg_loss`` and ``summary/avg_metric`` one for each epoch; tests have ``test_avg_metric``.

    Args:
        freq: minibatches between points; None: only summaries.
        log_dir: folder of the file; it is made if it is missing.
        rank: number of this worker; only worker 0 (or None) writes.
        model: Function whose graph is shown too.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     writer = TensorBoardProgressWriter(freq=1, log_dir=folder)
        ...     writer.update_training(10, 5.0, 1.0)
        ...     writer.close()
        ...     len(os.listdir(folder))
        1

    Source: CNTK 2.7 ``logging.TensorBoardProgressWriter``.
    """

    def __init__(
        self,
        freq: int | None = None,
        log_dir: str | os.PathLike[str] = ".",
        rank: int | None = None,
        model: Function | None = None,
    ) -> None:
        frequency = NEVER if freq is None else freq
        super().__init__(frequency, 0, NEVER, 0)
        self.freq, self.test_freq = frequency, NEVER
        self._events = EventFile(log_dir) if not rank else None
        self._minibatches = self._tests = 0
        if model is not None and self._events is not None:
            self._events.graph(_nodes(model))
            self._events.flush()

    @property
    def path(self) -> str | None:
        """The event file; None on a worker that does not write."""
        return None if self._events is None else str(self._events.path)

    def write_value(self, name: str, value: float, step: int) -> None:
        """Add a point to a curve.

        Args:
            name: the curve.
            value: the number.
            step: its place.

        Source: CNTK 2.7 ``TensorBoardProgressWriter.write_value``.
        """
        if self._events is not None:
            self._events.scalar(str(name), float(value), int(step))

    def write_image(self, name: str, data: Mapping[Any, Any], step: int) -> None:
        """Add the images of a minibatch.

        Args:
            name: the series.
            data: {variable: images}; arrays (images x channels x height x width) with 1, 3 or 4 channels.
            step: place in the series.

        Raises:
            ShapeError: if these are no images.

        Source: CNTK 2.7 ``TensorBoardProgressWriter.write_image``.
        """
        if self._events is None:
            return
        for variable, images in data.items():
            batch = images.asarray() if hasattr(images, "asarray") else np.asarray(images)
            rank = len(getattr(variable, "shape", batch.shape[1:]))
            one = batch.reshape(-1, *batch.shape[batch.ndim - rank :])
            for number, image in enumerate(one):
                self._events.image(
                    f"{name}/image/{number}" if len(one) > 1 else name, pixels_of(image, name), int(step)
                )
        self._events.flush()

    def flush(self) -> None:
        """Bring everything to the file."""
        if self._events is not None:
            self._events.flush()

    def close(self) -> None:
        """Bring everything to the file and close it."""
        if self._events is not None:
            self._events.close()

    def write(self, key: str, value: float | str) -> None:
        """Add a single value, such as a changed learning rate; text that is no number is left out."""
        try:
            number = float(value)
        except ValueError:
            return
        self.write_value(key, number, self.total_training_updates())

    # --- as a progress writer

    def on_write_training_update(
        self, samples: Range, updates: Range, aggregate_loss: Sums, aggregate_metric: Sums
    ) -> None:
        """Add a point of loss and metric."""
        del updates
        count = samples[1] - samples[0]
        if count:
            step = self.total_training_updates()
            self.write_value("minibatch/avg_loss", (aggregate_loss[1] - aggregate_loss[0]) / count, step)
            self.write_value("minibatch/avg_metric", (aggregate_metric[1] - aggregate_metric[0]) / count, step)

    def on_write_test_update(self, samples: Range, updates: Range, aggregate_metric: Sums) -> None:
        """Add a point of the metric in tests."""
        del updates
        count = samples[1] - samples[0]
        if count:
            change = aggregate_metric[1] - aggregate_metric[0]
            self.write_value("minibatch/test_avg_metric", change / count, self.total_test_updates())

    def on_write_training_summary(
        self,
        samples: int,
        updates: int,
        summaries: int,
        aggregate_loss: float,
        aggregate_metric: float,
        elapsed_milliseconds: int,
    ) -> None:
        """Add a point of the epoch's loss and metric."""
        del updates, elapsed_milliseconds
        if samples:
            self.write_value("summary/avg_loss", aggregate_loss / samples, summaries)
            self.write_value("summary/avg_metric", aggregate_metric / samples, summaries)
        self.flush()

    def on_write_test_summary(
        self, samples: int, updates: int, summaries: int, aggregate_metric: float, elapsed_milliseconds: int
    ) -> None:
        """Add a point of the test's metric."""
        del updates, elapsed_milliseconds
        if samples:
            self.write_value("summary/test_avg_metric", aggregate_metric / samples, summaries)
        self.flush()


def _nodes(model: Function) -> list[tuple[str, str, list[str], dict[str, str]]]:
    """The model's graph for TensorBoard: blocks are name scopes, names are unique."""
    snapshot = graph_snapshot(model.outputs, model.name or "model")
    entries = {node["id"]: node for node in snapshot["nodes"]}
    scope: dict[str, str] = {}

    def full(uid: str) -> str:
        if uid not in scope:
            node = entries[uid]
            own = _scoped(f"{node['name']}_{uid}" if node["name"] else uid)
            scope[uid] = f"{full(node['parent'])}/{own}" if node["parent"] in entries else own
        return scope[uid]

    operands: dict[str, list[str]] = {}
    for edge in sorted(snapshot["edges"], key=lambda e: e["port"]):
        operands.setdefault(edge["to"], []).append(edge["from"])
    return [
        (
            full(uid),
            node["op"],
            [full(source) for source in operands.get(uid, ()) if source in entries],
            {"shape": " x ".join(map(str, node["shape"])) or "scalar", "axes": ", ".join(node["axes"])},
        )
        for uid, node in entries.items()
        if node["kind"] != "block"
    ]


def _scoped(name: str) -> str:
    """A name as TensorBoard takes it: letters, digits and _ . - only, the first no sign."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "_.-") else "_" for c in name)
    return plain if plain[:1].isalnum() else f"n{plain}"
