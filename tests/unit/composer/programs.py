"""Random programs of layers, from a seed: text as a user would write it."""

from __future__ import annotations

import random

UNARY = ("relu", "tanh", "sigmoid", "elu", "softplus", "square", "abs", "exp", "negate", "sin")
INITS = ("C.glorot_uniform()", "C.he_normal()", "C.normal(0.1)", "0.1")


class Programs:
    """Writes programs: ``Programs(seed).text()``."""

    def __init__(self, seed: int) -> None:
        self.r = random.Random(seed)
        self.lines: list[str] = []
        self.count = 0

    def text(self) -> str:
        kind = self.r.choice(("vector", "vector", "image", "sequence"))
        if kind == "image":
            size = self.r.choice((6, 8))
            self.lines.append(f'x = C.input_variable((2, {size}, {size}), name="x")')
            body = self.image()
        elif kind == "sequence":
            self.lines.append('x = C.sequence.input_variable(3, name="x")')
            body = self.sequence()
        else:
            self.lines.append('x = C.input_variable(4, name="x")')
            body = self.vector("x")
        header = "import cntk_lab as C\n\n"
        if self.r.random() < 0.2:
            options = self.r.choice(("activation=C.tanh", "init=C.he_normal()", "bias=False"))
            lines = "\n".join(f"    {line}".replace("\n", "\n    ") for line in [*self.lines[1:], f"model = {body}"])
            return f"{header}{self.lines[0]}\nwith C.default_options({options}):\n{lines}\n"
        return header + "\n".join([*self.lines, f"model = {body}"]) + "\n"

    def name(self) -> str:
        self.count += 1
        return f"h{self.count}"

    def statement(self, value: str) -> str:
        name = self.name()
        self.lines.append(f"{name} = {value}")
        return name

    def size(self) -> int:
        return self.r.choice((2, 3, 4, 5))

    def dense(self, size: int | None = None, *, named: bool = True) -> str:
        parts = [str(size or self.size())]
        if self.r.random() < 0.4:
            parts.append(f"activation=C.{self.r.choice(UNARY[:5])}")
        if self.r.random() < 0.2:
            parts.append(f"init={self.r.choice(INITS)}")
        if self.r.random() < 0.2:
            parts.append("bias=False")
        if named and self.r.random() < 0.15:
            self.count += 1
            parts.append(f'name="layer{self.count}"')
        return f"C.layers.Dense({', '.join(parts)})"

    def items(self, depth: int = 0) -> list[str]:
        out = []
        for _ in range(self.r.randint(1, 3)):
            pick = self.r.random()
            if pick < 0.45:
                out.append(self.dense())
            elif pick < 0.6:
                out.append(f"C.{self.r.choice(UNARY[:5])}")
            elif pick < 0.66:
                out.append("C.layers.LayerNormalization()")
            elif pick < 0.72:
                out.append("C.layers.Stabilizer()")
            elif pick < 0.78 and depth < 2:
                out.append(f"C.layers.Sequential([{', '.join(self.items(depth + 1))}])")
            elif pick < 0.84:
                size = self.size()
                out += [self.dense(size), f"C.layers.ResNetBlock({self.dense(size)})"]
            elif pick < 0.9:
                size = self.size()
                out.append(f"C.layers.For(range({self.r.randint(1, 3)}), lambda: {self.dense(size, named=False)})")
            elif pick < 0.95:
                size = self.size()
                out += [
                    f"({self.dense(size)}, {self.dense(size)})",
                    self.r.choice(("C.plus", "C.element_times", "C.splice")),
                ]
            else:
                out.append("lambda v: v * 2 + C.tanh(v)")
        return out

    def sequential(self, items: list[str]) -> str:
        if self.r.random() < 0.5:
            return "C.layers.Sequential([\n" + "".join(f"    {i},\n" for i in items) + "])"
        if self.r.random() < 0.3 and len(items) > 1 and not any(i[0] in "(l" for i in items):
            return f"({' >> '.join(items)})"
        return f"C.layers.Sequential([{', '.join(items)}])"

    def vector(self, value: str) -> str:
        for _ in range(self.r.randint(0, 2)):
            pick = self.r.random()
            if pick < 0.5:
                value = self.statement(f"{self.sequential(self.items())}({value})")
            elif pick < 0.7:
                size = self.size()
                one = self.statement(f"{self.dense(size)}({value})")
                two = self.statement(f"{self.dense(size)}({value})")
                value = self.statement(
                    self.r.choice((f"{one} + {two}", f"{one} * {two}", f"C.splice({one}, {two})", f"{one} - 2 * {two}"))
                )
            elif pick < 0.85:
                shared = self.statement(self.dense())
                value = self.statement(f"{shared}({value}) + C.tanh({shared}({value}))")
            else:
                value = self.statement(f"-C.{self.r.choice(UNARY)}({self.dense()}({value}))")
        return f"{self.sequential(self.items())}({value})"

    def image(self) -> str:
        items = []
        for _ in range(self.r.randint(1, 2)):
            activation = self.r.choice(("", ", activation=C.relu"))
            items.append(f"C.layers.Convolution2D((3, 3), {self.size()}, pad=True{activation})")
            if self.r.random() < 0.5:
                items.append(
                    self.r.choice(("C.layers.BatchNormalization(map_rank=1)", "C.relu", "C.layers.Dropout(0.0)"))
                )
        if self.r.random() < 0.7:
            items.append(f"C.layers.{self.r.choice(('MaxPooling', 'AveragePooling'))}((2, 2), strides=2)")
        if self.r.random() < 0.3:
            items.append("C.layers.GlobalAveragePooling()")
        items.append(self.dense())
        return f"{self.sequential(items)}(x)"

    def sequence(self) -> str:
        cell = self.r.choice(("LSTM", "GRU", "RNNStep"))
        back = self.r.choice(("", ", go_backwards=True"))
        items = [f"C.layers.Embedding({self.size()})"] if self.r.random() < 0.4 else []
        if self.r.random() < 0.2:
            items.append(f"(C.layers.Recurrence(C.layers.GRU(2)), C.layers.Recurrence(C.layers.GRU(3){back}))")
            items.append("C.splice")
        items.append(f"C.layers.Recurrence(C.layers.{cell}({self.size()}){back})")
        items.append(self.r.choice(("C.sequence.last", "C.sequence.first", "C.relu", "C.layers.Delay(1)")))
        items.append(self.dense())
        return f"{self.sequential(items)}(x)"


def program(seed: int) -> str:
    """The program of a seed."""
    return Programs(seed).text()
