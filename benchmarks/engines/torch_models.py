"""The models in PyTorch, written as its manual does: ``nn`` modules, ``SGD`` with foreach, packed sequences. Knows no
times.
"""

import itertools
import math

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

_RATE = 0.001


def build(compiled, w, batches):
    """A function without arguments that does one training step (or one evaluation) on the next minibatch."""
    torch.manual_seed(1)
    if w.inference:
        return _evaluator(compiled, w, batches)
    if w.kind == "chain":
        return _chain(compiled, batches)
    model, loss_of = _MODELS[w.kind](w)
    if compiled:
        loss_of = torch.compile(loss_of)
    optimizer = torch.optim.SGD(model.parameters(), _RATE, momentum=w.momentum)
    turn = [0]

    def step():
        turn[0] = (turn[0] + 1) % len(batches)
        optimizer.zero_grad()
        loss_of(*_fed(w, batches[turn[0]])).backward()
        optimizer.step()

    return step


def _evaluator(compiled, w, batches):
    """Evaluations, each from NumPy arrays to NumPy arrays."""
    model, _ = _MODELS[w.kind](w)
    model.eval()
    predict = _tags_of(model) if w.kind == "tagger" else model
    predict = torch.compile(predict) if compiled else predict
    turn = [0]

    def step():
        turn[0] = (turn[0] + 1) % len(batches)
        batch = batches[turn[0]]
        with torch.inference_mode():
            if w.kind != "tagger":
                return predict(torch.from_numpy(batch[0])).numpy()
            lengths = [len(s) for s in batch[0]]
            x = pad_sequence([torch.from_numpy(s) for s in batch[0]], batch_first=True)
            scores = predict(x, torch.tensor(lengths)).numpy()
            return [rows[:n] for rows, n in zip(scores, lengths, strict=True)]

    return step


def _tags_of(model):
    """Scores of every word's tags; a single sentence needs no packing."""

    def predict(x, lengths):
        embedded = model["embed"](x)
        if len(x) == 1:
            return model["out"](model["lstm"](embedded)[0])
        packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
        return model["out"](pad_packed_sequence(model["lstm"](packed)[0], batch_first=True)[0])

    return predict


def _fed(w, batch):
    if w.kind == "classifier":
        sequences, _, labels = batch
        lengths = torch.tensor([len(s) for s in sequences])
        return (
            pad_sequence([torch.from_numpy(s) for s in sequences], batch_first=True),
            lengths,
            torch.from_numpy(labels),
        )
    if w.kind == "tagger":
        words, labels = batch
        lengths = torch.tensor([len(s) for s in words])
        return (
            pad_sequence([torch.from_numpy(s) for s in words], batch_first=True),
            lengths,
            pad_sequence([torch.from_numpy(s) for s in labels], batch_first=True, padding_value=-100),
        )
    return torch.from_numpy(batch[0]), torch.from_numpy(batch[2])


def _criterion(model):
    return model, lambda x, y: F.cross_entropy(model(x), y)


def _mlp(w):
    act = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "": nn.Identity}[w.act]
    layers = []
    for i, (a, b) in enumerate(itertools.pairwise(w.widths)):
        layers += [nn.Linear(a, b)] + ([act()] if i + 2 < len(w.widths) else [])
    return _criterion(nn.Sequential(*layers))


def _convnet(w):
    layers, shape = [], torch.zeros(1, *w.image)
    for i, layer in enumerate(w.layers):
        if layer[0] == "conv":
            # CNTK pads by the remainder, more in front: for 5x5 with stride 2 on even sizes 2 before and 1 behind; the
            # cost is equal
            new = [nn.Conv2d(shape.shape[1], layer[1], layer[2], layer[3], padding=layer[2] // 2), nn.ReLU()]
        elif layer[0] == "pool":
            new = [nn.MaxPool2d(layer[1], layer[2])]
        else:
            flat = [nn.Flatten()] if shape.dim() > 2 else []
            size = shape[0].numel()
            new = [*flat, nn.Linear(size, layer[1])] + ([nn.ReLU()] if i + 1 < len(w.layers) else [])
        for n in new:
            shape = n(shape).detach()
        layers += new
    return _criterion(nn.Sequential(*layers))


class _Block(nn.Module):
    def __init__(self, inputs, maps, stride):
        super().__init__()
        self.one, self.two = (
            nn.Conv2d(inputs, maps, 3, stride, 1, bias=False),
            nn.Conv2d(maps, maps, 3, 1, 1, bias=False),
        )
        self.n1, self.n2 = nn.BatchNorm2d(maps), nn.BatchNorm2d(maps)
        self.skip = (
            nn.Identity()
            if stride == 1
            else nn.Sequential(nn.Conv2d(inputs, maps, 1, 2, bias=False), nn.BatchNorm2d(maps))
        )

    def forward(self, x):
        return F.relu(self.n2(self.two(F.relu(self.n1(self.one(x))))) + self.skip(x))


def _resnet(w):
    layers = [nn.Conv2d(3, w.widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(w.widths[0]), nn.ReLU()]
    last = w.widths[0]
    for level, maps in enumerate(w.widths):
        for block in range(w.blocks):
            layers.append(_Block(last, maps, 2 if level and not block else 1))
            last = maps
    return _criterion(nn.Sequential(*layers, nn.AvgPool2d(8), nn.Flatten(), nn.Linear(last, 10)))


def _classifier(w):
    model = nn.ModuleDict(
        {"lstm": nn.LSTM(w.inputs, w.hidden, batch_first=True), "out": nn.Linear(w.hidden, w.classes)}
    )

    def loss_of(x, lengths, y):
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        _, (h, _) = model["lstm"](packed)
        return F.cross_entropy(model["out"](h[0]), y)

    return model, loss_of


def _tagger(w):
    model = nn.ModuleDict(
        {
            "embed": nn.Embedding(w.vocabulary, w.embedding),
            "lstm": nn.LSTM(w.embedding, w.hidden, batch_first=True),
            "out": nn.Linear(w.hidden, w.classes),
        }
    )

    def loss_of(x, lengths, y):
        packed = pack_padded_sequence(model["embed"](x), lengths, batch_first=True, enforce_sorted=False)
        hidden, _ = model["lstm"](packed)
        labels = pack_padded_sequence(y, lengths, batch_first=True, enforce_sorted=False)
        return F.cross_entropy(model["out"](hidden.data), labels.data)

    return model, loss_of


class _Layer(nn.Module):
    def __init__(self, d, heads, ff):
        super().__init__()
        self.heads, self.size = heads, d // heads
        self.q, self.k, self.v, self.o = (nn.Linear(d, d) for _ in range(4))
        self.a, self.b = nn.Linear(d, ff), nn.Linear(ff, d)
        self.n1, self.n2 = nn.LayerNorm(d), nn.LayerNorm(d)

    def forward(self, x):
        def split(m):
            return m.view(*m.shape[:2], self.heads, self.size).transpose(1, 2)

        weights = torch.softmax(split(self.q(x)) @ split(self.k(x)).transpose(2, 3) / math.sqrt(self.size), -1)
        heads = (weights @ split(self.v(x))).transpose(1, 2).reshape(x.shape)
        x = self.n1(x + self.o(heads))
        return self.n2(x + self.b(F.relu(self.a(x))))


def _transformer(w):
    body = nn.Sequential(*(_Layer(w.d, w.heads, w.ff) for _ in range(w.layers)))
    out = nn.Linear(w.d, w.classes)
    return nn.ModuleList([body, out]), lambda x, y: F.cross_entropy(out(body(x).mean(1)), y)


def _chain(compiled, batches):
    def value(x):
        return (torch.tanh(x * 2 + 1) * torch.sigmoid(x) + torch.exp(-x.square())).sum()

    value = torch.compile(value) if compiled else value
    turn = [0]

    def step():
        turn[0] = (turn[0] + 1) % len(batches)
        x = torch.from_numpy(batches[turn[0]][0]).detach().requires_grad_()
        value(x).backward()

    return step


_MODELS = {
    "dense": _mlp,
    "convnet": _convnet,
    "resnet": _resnet,
    "classifier": _classifier,
    "tagger": _tagger,
    "transformer": _transformer,
}
