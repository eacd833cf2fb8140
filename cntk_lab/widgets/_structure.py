"""What a row of nodes consists of, found by its form alone: loops, attention, residual units, and what to call them.

Works on one level of a graph: who feeds whom among siblings, and the operator of each. A model file says nothing of the
functions that made it; what they built is recognised here, whoever wrote it. Knows no snapshots and no drawing.

Idea: single-entry single-exit regions (Johnson, Pearson and Pingali, 1994).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

PRODUCTS: Final = frozenset({"ElementTimes", "Times", "TransposeTimes", "MatMul", "Mul", "Gemm", "Einsum"})
BEHIND_SOFTMAX: Final = PRODUCTS | {
    "NoOp", "ReduceElements", "ReduceSum", "Reshape", "Stabilizer", "Sequence::BroadcastAs", "Transpose",
    "TransposeAxes", "Squeeze", "Dropout", "Cast", "Identity",
}  # fmt: skip
"""Operators between the weights of an attention and the mean that it gives."""
CELLS: Final = frozenset(
    {"LSTM", "GRU", "RNNStep", "Embedding", "PastValue", "FutureValue", "RNN", "OptimizedRNNStack"}
)
FORKS: Final = frozenset(
    {"UnpackSequenceOp", "ToSequenceOp", "NoOp", "Reshape", "Transpose", "TransposeAxes", "ExpandDims"}
)
"""Operators that belong to what is behind them, also where several read them."""
TRIMMINGS: Final = frozenset({
    "ReLU", "Relu", "Tanh", "Sigmoid", "ELU", "Elu", "LeakyReLU", "LeakyRelu", "SELU", "Selu", "PReLU", "Softplus",
    "Gelu", "BatchNormalization", "LayerNormalization", "Dropout", "Stabilizer", "Clip",
})  # fmt: skip
"""What stands behind a unit and belongs to it."""
SUMS: Final = frozenset({"Plus", "Add", "Sum"})
JOINS: Final = frozenset({"Splice", "Concat"})
LEAST_ATTENTION: Final = 5
GLOBAL_USERS: Final = 6
"""A value that more nodes read, over a good part of the row, is context and ties no unit to another."""


@dataclass(frozen=True, slots=True)
class Found:
    """Siblings that are one thing to a reader: what it is, what it is called, and its parts in order."""

    op: str
    name: str
    members: tuple[str, ...]


class Level:
    """One row of siblings in an order along the edges.

    Args:
        order: the siblings, without inputs and the like.
        sources: sibling -> those that feed it.
        op: the operator (or kind of block) of a sibling.
        name: its name.
    """

    def __init__(
        self,
        order: Sequence[str],
        sources: Mapping[str, set[str]],
        op: Callable[[str], str],
        name: Callable[[str], str],
    ) -> None:
        self.order, self.op, self.name = list(order), op, name
        self.place = {uid: index for index, uid in enumerate(self.order)}
        self.sources = {uid: [s for s in sources.get(uid, ()) if s in self.place] for uid in self.order}
        self.users: dict[str, list[str]] = {uid: [] for uid in self.order}
        for uid, fed in self.sources.items():
            for source in fed:
                self.users[source].append(uid)

    # --- attention

    def attentions(self) -> list[Found]:
        """Weighted means whose weights come from a softmax: every head, with what makes its logits."""
        found: list[Found] = []
        taken: set[str] = set()
        for uid in self.order:
            end = self._end_of_attention(uid) if self.op(uid).endswith(("Softmax", "softmax")) else None
            if end is None or end in taken:
                continue
            members = self._leading_to(end, taken)
            if uid in members and len(members) >= LEAST_ATTENTION:
                taken |= members
                ordered = sorted(members, key=self.place.__getitem__)
                found.append(Found("Attention", self.name(end), tuple(ordered)))
        return found

    def _end_of_attention(self, softmax: str) -> str | None:
        """The mean that the weights of a softmax give; None if they give none."""
        at, product = softmax, False
        for _ in range(10):
            users = sorted(self.users[at], key=self.place.__getitem__)
            # a broadcast may read the weights beside the product, and lead into it
            if not users or any(self.users[user] != [users[-1]] for user in users[:-1]):
                break
            if self.op(users[-1]) not in BEHIND_SOFTMAX or any(self.op(u) not in BEHIND_SOFTMAX for u in users):
                break
            at = users[-1]
            product = product or self.op(at) in PRODUCTS
        return at if product else None

    def _leading_to(self, end: str, taken: set[str]) -> set[str]:
        """Everything that only serves ``end``: back to what others read too, to cells, and to where branches part."""
        members, todo = {end}, sorted(self.sources[end], key=self.place.__getitem__)
        waiting = set(todo)
        while waiting:
            uid = max(waiting, key=self.place.__getitem__)
            waiting.discard(uid)
            users = set(self.users[uid])
            parts = len(users) > 1 and self.op(uid) not in FORKS
            if not users <= members or uid in taken or self.op(uid) in CELLS or self.op(uid) == "Recurrence" or parts:
                continue
            members.add(uid)
            waiting.update(self.sources[uid])
        return members

    # --- loops

    def loops(self, back: Mapping[str, set[str]]) -> list[Found]:
        """Siblings that feed each other through time.

        Args:
            back: sibling -> those that feed its next step.
        """
        members = [group for group in self._circles(back) if len(group) > 1]
        found = []
        for group in members:
            cells = [uid for uid in group if self.op(uid) in CELLS - {"PastValue", "FutureValue", "Embedding"}]
            parts = [uid for uid in group if uid in cells or self.op(uid) == "Attention"]
            words = ", ".join(dict.fromkeys([self.op(uid) for uid in parts]))
            names = [self.name(uid) for uid in cells if self.name(uid)]
            op = f"Recurrence({words})" if words else "Recurrence"
            backwards = any(self.op(uid) == "FutureValue" for uid in group)
            name = names[0] if len(names) == 1 else ""
            found.append(Found(op, " ".join(filter(None, (name, "backwards" if backwards else ""))), tuple(group)))
        return found

    def _circles(self, back: Mapping[str, set[str]]) -> Iterator[list[str]]:
        """Strongly connected siblings (Kosaraju), each in order."""
        fed = {uid: [*self.sources[uid], *(s for s in back.get(uid, ()) if s in self.place)] for uid in self.order}
        feeds: dict[str, list[str]] = {uid: [] for uid in self.order}
        for uid, sources in fed.items():
            for source in sources:
                feeds[source].append(uid)
        done: set[str] = set()
        finished: list[str] = []
        for start in self.order:
            stack = [(start, iter(feeds[start]))] if start not in done else []
            done.add(start)
            while stack:
                following = next((uid for uid in stack[-1][1] if uid not in done), None)
                if following is None:
                    finished.append(stack.pop()[0])
                else:
                    done.add(following)
                    stack.append((following, iter(feeds[following])))
        done.clear()
        for start in reversed(finished):
            if start in done:
                continue
            done.add(start)
            circle, todo = [], [start]
            while todo:
                uid = todo.pop()
                circle.append(uid)
                new = [source for source in fed[uid] if source not in done]
                done.update(new)
                todo.extend(dict.fromkeys(new))
            yield sorted(circle, key=self.place.__getitem__)

    # --- units

    def units(self, kernels: Callable[[str], int]) -> list[Found]:
        """Stretches of several nodes that one value enters and one value leaves, with the activation behind them.

        Args:
            kernels: elements of the kernel of a convolution; 0 for anything else.
        """
        pieces = self._pieces()
        found: list[Found] = []
        index = 0
        while index < len(pieces):
            piece, index = pieces[index], index + 1
            if len(piece) == 1:
                continue
            while index < len(pieces) and len(pieces[index]) == 1 and self.op(pieces[index][0]) in TRIMMINGS:
                piece, index = [*piece, *pieces[index]], index + 1
            found.append(Found(self._unit(piece, kernels), "", tuple(piece)))
        return found

    def _pieces(self) -> list[list[str]]:
        """The row cut wherever a single value leads on."""
        count = len(self.order)
        last = [
            max((self.place[user] for user in self.users[uid]), default=index) for index, uid in enumerate(self.order)
        ]
        crossing = [0] * (count + 1)
        for index, uid in enumerate(self.order):
            if len(self.users[uid]) > GLOBAL_USERS and last[index] - index > count // 4:
                continue
            crossing[index] += 1
            crossing[last[index]] -= 1
        pieces: list[list[str]] = [[]]
        alive = 0
        for index, uid in enumerate(self.order):
            pieces[-1].append(uid)
            alive += crossing[index]
            if alive <= 1 and index + 1 < count:
                pieces.append([])
        return [piece for piece in pieces if piece]

    def _unit(self, members: Sequence[str], kernels: Callable[[str], int]) -> str:
        """What a person would call a unit."""
        ops = [self.op(uid) for uid in members]
        inner = [op for op in ops if op not in TRIMMINGS]
        last = inner[-1] if inner else ops[-1]
        if any(op == "Attention" or op.endswith("Softmax") for op in ops):
            return "attention"
        sizes = [kernels(uid) for uid in members if kernels(uid)]
        if last in SUMS:
            if any(a == 1 and b > 1 and c == 1 for a, b, c in zip(sizes, sizes[1:], sizes[2:], strict=False)):
                return "bottleneck"
            dense = sum(op in ("Dense", "Gemm", "MatMul", "Times") for op in ops)
            return "feed-forward" if not sizes and dense > 1 else "residual"
        if last in JOINS:
            return "dense unit" if sizes else "concatenation"
        return "branches"


def unit_name(ops: Sequence[str]) -> str:
    """What several units in a row are called."""
    if len(ops) == 1:
        return ops[0]
    if list(ops) == ["attention", "feed-forward"]:
        return "Transformer layer"
    kinds = list(dict.fromkeys(ops))
    return " + ".join(kinds) if len(kinds) <= 2 and len(kinds[0]) + len(kinds[-1]) < 32 else f"{ops[0]} … {ops[-1]}"
