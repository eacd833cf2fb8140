"""The live graph view: a model as blocks that open in place, with values painted on it while it trains.

Takes a snapshot (plain data) and, where there is one, a function that gives a parameter's present value. It knows
neither functions nor training: who has them calls :meth:`GraphView.paint`, or tells by events. State that Python owns:
``graph``, ``overlays``, ``fed``; state that both may change: ``opened``, ``selected``. Zoom, search and the width of
panes belong to the browser.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import traitlets

from cntk_lab.errors import AttributeValueError
from cntk_lab.events import BUS, NodesMeasured
from cntk_lab.widgets import _messages as messages
from cntk_lab.widgets import _saved, display
from cntk_lab.widgets._arrange import arrange
from cntk_lab.widgets._base import LabWidget, Throttle
from cntk_lab.widgets._compare import compare, merged
from cntk_lab.widgets._fed import Fed
from cntk_lab.widgets._picture import write_picture
from cntk_lab.widgets._snapshot import Tree, check
from cntk_lab.widgets._statistics import statistics
from cntk_lab.widgets._visible import first_open

SAMPLE: Final = "sample"
"""Name of the overlay that a fed sample paints."""
TOGETHER: Final[dict[str, Literal["sum", "mean", "max", "min"]]] = {"time": "sum", "dead units": "max"}

Values = Callable[[str], npt.NDArray[Any] | None]
Feeding = Callable[[Any], Mapping[str, npt.NDArray[Any]]]


class GraphView(LabWidget):
    """A graph to look into: pan, zoom, search, open blocks in place, read values.

    Args:
        graph: a snapshot of format ``cntk-lab-graph``.
        values: gives the present value of the parameter with a uid, or None; without it the inspector shows
            shapes only.
        opened: uids of the blocks open at first; by default only a block that is the whole model.
        feeding: gives what every node makes of a sample: uid -> frames x static shape, in the order of computation.

    Raises:
        FormatError: if the snapshot is none.

    Example:
        >>> from cntk_lab.widgets import _examples
        >>> view = GraphView(_examples.mlp())
        >>> view.opened
        []
    """

    bundle_name = "graphView"

    graph = traitlets.Dict().tag(sync=True)
    overlays = traitlets.Dict().tag(sync=True)
    opened = traitlets.List(traitlets.Unicode()).tag(sync=True)
    selected = traitlets.Unicode("").tag(sync=True)
    fed = traitlets.Dict().tag(sync=True)
    feeds = traitlets.Bool(default_value=False).tag(sync=True)
    live = traitlets.Bool(default_value=False).tag(sync=True)

    def __init__(
        self,
        graph: Mapping[str, Any],
        values: Values | None = None,
        opened: Sequence[str] | None = None,
        feeding: Feeding | None = None,
    ) -> None:
        self._snapshot = check(graph)
        self._values, self._feeding = values, feeding
        self._sample: Fed | None = None
        self._unfollow: Callable[[], None] = lambda: None
        self._arranged = arranged = arrange(self._snapshot)
        self._tree = Tree(arranged)
        first = sorted(first_open(self._tree)) if opened is None else list(opened)
        super().__init__(graph=dict(arranged), opened=first, live=values is not None, feeds=feeding is not None)
        self._throttles: dict[str, Throttle] = {}

    @classmethod
    def difference(
        cls,
        before: Mapping[str, Any],
        after: Mapping[str, Any],
        values_before: Values | None = None,
        values_after: Values | None = None,
    ) -> GraphView:
        """A view of what differs between two graphs: the second one, with what went from the first put back.

        Args:
            before: a snapshot of the first graph.
            after: a snapshot of the second graph.
            values_before: gives the value of a parameter of the first graph by its uid.
            values_after: the same for the second; weights are compared where both are given.

        Returns:
            A view on which added, removed and changed nodes are marked; closed blocks say what changed inside them, and
            what is equal is folded.
        """
        found = compare(before, after, values_before, values_after)
        graph = merged(before, after, found)
        return cls(graph, values=values_after)

    def expand(self, *uids: str) -> None:
        """Open blocks, and every block around them.

        Args:
            uids: of blocks, or of nodes that shall be seen.

        Raises:
            AttributeValueError: if the graph has no such node.
        """
        wanted = dict.fromkeys(self.opened)
        for uid in uids:
            path = self._tree.path(self._known(uid))
            wanted.update(dict.fromkeys(block for block in path if self._tree.is_block(block)))
        self.opened = list(wanted)

    def collapse(self, *uids: str) -> None:
        """Close blocks.

        Args:
            uids: of blocks.

        Raises:
            AttributeValueError: if the graph has no such node.
        """
        gone = {self._known(uid) for uid in uids}
        self.opened = [uid for uid in self.opened if uid not in gone]

    def select(self, uid: str) -> None:
        """Mark a node and show it in the inspector; the blocks around it open.

        Args:
            uid: of the node; "" for none.
        """
        if uid:
            self.expand(*self._tree.path(self._known(uid))[:-1])
        self.selected = uid

    def paint(
        self,
        name: str,
        values: Mapping[str, float],
        unit: str = "",
        together: Literal["sum", "mean", "max", "min"] = "sum",
    ) -> None:
        """Paint a number on every node; the layout stays.

        At most ten times a second reaches the browser, and the last always does.

        Args:
            name: of the overlay, as the user chooses it: "time", "gradient", ...
            values: uid of a node -> its number; not-finite numbers are painted as an alarm.
            unit: of the numbers, as "ms".
            together: how a closed block shows the numbers of its nodes.
        """
        throttle = self._throttles.setdefault(name, Throttle(self._take_overlay))
        plain = {uid: float(value) if np.isfinite(value) else None for uid, value in values.items()}
        throttle.put((name, {"unit": unit, "together": together, "values": plain}))

    def unpaint(self, name: str) -> None:
        """Take an overlay away."""
        throttle = self._throttles.pop(name, None)
        if throttle is not None:
            throttle.flush()
        self.overlays = {key: value for key, value in self.overlays.items() if key != name}

    # --- one sample, step by step

    def feed(self, sample: Any = None) -> dict[str, npt.NDArray[Any]]:
        """Let one sample go through the graph; then ``step`` follows it, and the inspector shows what nodes make of it.

        Args:
            sample: array for the one input, or {input or its name: array}: of the input's static shape, or frames x
                static shape for a sequence; None: random numbers, sequences of 5 frames.

        Returns:
            {uid: array (frames x static shape)} of inputs, nodes and blocks.

        Raises:
            AttributeValueError: if the view has no function behind it, or the sample does not fit its inputs.
        """
        if self._feeding is None:
            raise AttributeValueError("nothing can be fed to a picture of a graph", fix="lab.show(model).feed(sample)")
        values = self._feeding(sample)
        self._sample = Fed(self._tree, values, sample is None)
        self._stepped(0, 0)
        return dict(values)

    def step(self, nodes: int = 1) -> str:
        """Follow the fed sample to the next node, or the next closed block; in an open block through its nodes.

        Args:
            nodes: how many; negative ones go back.

        Returns:
            The uid of the node; at the ends it stays the same.

        Raises:
            AttributeValueError: if nothing is fed.
        """
        return self._stepped(nodes, 0)

    def step_time(self, frames: int = 1) -> int:
        """Look at a later frame of the fed sample.

        Args:
            frames: how many; negative ones go back.

        Returns:
            The number of the frame, from 0.

        Raises:
            AttributeValueError: if nothing is fed.
        """
        self._stepped(0, frames)
        return int(self.fed["frame"])

    def value(self, uid: str = "") -> npt.NDArray[Any]:
        """What a node made of the fed sample at the present frame.

        Args:
            uid: of a node, an input or a block; "" for the one the sample is at.

        Raises:
            AttributeValueError: if nothing is fed, or the node has no value.
        """
        found = self._sample_fed().value(self._known(uid) if uid else self._sample_fed().at)
        if found is None:
            raise AttributeValueError(
                f"node {uid!r} has no value of the sample", fix="ask for a node between inputs and outputs"
            )
        return found[0]

    def unfeed(self) -> None:
        """Take the sample away."""
        self._sample = None
        self.fed = {}
        self.unpaint(SAMPLE)

    def _sample_fed(self) -> Fed:
        if self._sample is None:
            raise AttributeValueError("no sample is fed", fix="view.feed(sample) first")
        return self._sample

    def _stepped(self, nodes: int, frames: int) -> str:
        sample = self._sample_fed()
        sample.go(nodes, frames, self.opened, self.selected if nodes else "")
        self.paint(SAMPLE, sample.sizes(self.opened), together="mean")
        self.selected = sample.at
        self.fed = sample.state(self.opened)
        return sample.at

    # --- a run that is watched

    def follow(self, run: Any) -> GraphView:
        """Paint what a run measures on its nodes while it trains: time, activations, gradients, dead units, and the
        first node that is not finite.

        The run spends at most one part in 50 of its time on this, and only while it is followed.

        Args:
            run: of ``lab.train``, or its monitor.

        Returns:
            The view itself.
        """
        self.unfollow()
        number = getattr(run, "run", run).number

        def heard(event: NodesMeasured) -> None:
            if event.run != number:
                return
            values = {uid: value for uid, value in event.values if uid in self._tree.node}
            if event.what == "not finite":
                for uid in values:
                    self.select(uid)
            if values:
                self.paint(event.what, values, event.unit, TOGETHER.get(event.what, "mean"))

        self._unfollow = BUS.subscribe(NodesMeasured, heard)
        return self

    def unfollow(self) -> None:
        """End following a run; what is painted stays."""
        self._unfollow()
        self._unfollow = lambda: None

    def close(self) -> None:
        """Take the view out of the notebook; a run that was followed goes on."""
        if "_unfollow" in self.__dict__:  # ipywidgets closes also what could not be made
            self.unfollow()
        super().close()

    def save(self, path: str | Path) -> Path:
        """Write what is open now as a picture.

        Args:
            path: ends with .svg, .png or .pdf.

        Returns:
            The path of the file.
        """
        return write_picture(self._snapshot, Path(path), self.opened)

    def static_forms(self) -> dict[str, Any]:
        """The graph as SVG, text and (up to a few thousand nodes) JSON for the viewer without kernel."""
        return display.forms(self._arranged, len(self._snapshot["nodes"]), self.opened)

    def saved_state(self) -> dict[str, Any]:
        """What is painted on the graph, which the notebook keeps already; values and samples need a kernel."""
        state = {**super().saved_state(), "feeds": False, "live": False}
        del state["graph"]
        return state

    def saved_view(self) -> dict[str, Any]:
        """The view, where the notebook keeps the graph."""
        return super().saved_view() if display.kept(self._arranged) else _saved.too_long(self.bundle_name)

    def answer(self, request: messages.Request) -> messages.Reply:
        """What the browser asks: statistics of parameters, or a file."""
        if isinstance(request, messages.Export):
            import tempfile

            with tempfile.TemporaryDirectory() as folder:
                path = write_picture(self._snapshot, Path(folder) / f"graph.{request.form}", request.opened)
                content = base64.b64encode(path.read_bytes()).decode()
            return messages.Exported("exported", request.form, content)
        if isinstance(request, messages.Feed):
            return self._go_on(request)
        if not isinstance(request, messages.Inspect):
            return super().answer(request)
        uid = self._known(request.uid)
        fed = self._sample.value(uid) if self._sample is not None else None
        shown = []
        if fed is not None:
            array, frame, frames = fed
            where = f", frame {frame + 1} of {frames}" if frames > 1 else ""
            shown = [statistics(f"value{where}", np.atleast_1d(array))]
        parameters = [uid, *self._tree.hosted.get(uid, ())]
        found = [(self._tree.node[p]["name"] or p, self._values(p) if self._values else None) for p in parameters]
        return messages.Inspected(
            "inspected", uid, [*shown, *(statistics(name, array) for name, array in found if array is not None)]
        )

    def _go_on(self, request: messages.Feed) -> messages.Reply:
        if request.what == "end":
            self.unfeed()
        elif request.what == "begin" and self._sample is None:
            self.feed()
        else:
            self._stepped(request.nodes, request.frames)
        drawn = self._sample is not None and self._sample.random and request.what == "begin"
        return messages.Done("done", "Random numbers are fed; view.feed(sample) feeds your own." if drawn else "")

    def _take_overlay(self, overlay: tuple[str, dict[str, Any]]) -> None:
        self.overlays = {**self.overlays, overlay[0]: overlay[1]}

    def _known(self, uid: str) -> str:
        if uid not in self._tree.node:
            raise AttributeValueError(
                f"the graph has no node {uid!r}",
                fix=f"choose one of its {len(self._tree.node)} uids: view.graph['nodes']",
            )
        return uid
