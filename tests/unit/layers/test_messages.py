"""Mistakes with layers are answered in the user's words: whole messages."""

from __future__ import annotations

import pytest

import cntk_lab as C
from cntk_lab.errors import LabError
from cntk_lab.layers import (
    LSTM,
    AttentionModel,
    BatchNormalization,
    Convolution,
    Convolution1D,
    Convolution2D,
    ConvolutionTranspose,
    Dense,
    Dropout,
    Embedding,
    For,
    Recurrence,
    Sequential,
    UnfoldFrom,
)

MISTAKES = [
    (
        lambda: Dense(4, input_rank=1, map_rank=1),
        [
            "Dense: both input_rank=1 and map_rank=1 are given",
            "  fix:   input_rank counts summed axes from the end, map_rank kept axes from the front: give one",
        ],
    ),
    (
        lambda: Dense(()),
        [
            "Dense: the output shape () has no axes",
            "  fix:   give Dense(1) and reshape, or sum the operand",
        ],
    ),
    (
        lambda: Dense("wide"),
        [
            "'wide' is not a shape",
            "  fix:   give a number or a tuple of numbers",
        ],
    ),
    (
        lambda: Embedding(),
        [
            "Embedding: neither the shape of a vector nor weights are given",
            "  fix:   give Embedding(300), or weights=...",
        ],
    ),
    (
        lambda: Embedding(3, weights=[[1]]),
        [
            "Embedding: a shape is given for weights that have their own",
            "  fix:   leave the shape out",
        ],
    ),
    (
        lambda: Convolution1D((3, 3), 4),
        [
            "Convolution1D: filter_shape=(3, 3) has 2 axes, this layer's filter has 1",
            "  fix:   give one number for all axes, or (3,); Convolution takes filters of any rank",
        ],
    ),
    (
        lambda: Convolution2D((3, 3), 4, strides=(1, 2, 3)),
        [
            "strides=(1, 2, 3) has 3 elements, the filter (3, 3) has 2 axes",
            "  fix:   give one number, or 2",
        ],
    ),
    (
        lambda: Convolution2D((3, 3), 4, groups=2),
        [
            "Convolution: groups=2: the layer has one group",
            "  fix:   use the operator: convolution(parameter(...), x, groups=...)",
        ],
    ),
    (
        lambda: Convolution((3,), 4, sequential=True, strides=2),
        [
            "Convolution: a stride of 2 frames over time is not supported",
            "  fix:   use SequentialConvolution",
        ],
    ),
    (
        lambda: ConvolutionTranspose((3,), None),
        [
            "ConvolutionTranspose: num_filters is missing",
            "  fix:   give the number of filters",
        ],
    ),
    (
        lambda: Dropout(),
        [
            "Dropout: neither dropout_rate nor keep_prob is given",
            "  fix:   write Dropout(0.5) for half of the elements",
        ],
    ),
    (
        lambda: Dropout(0.2, keep_prob=0.8),
        [
            "Dropout: both dropout_rate=0.2 and keep_prob=0.8 are given",
            "  fix:   keep_prob is 1 - dropout_rate: give one",
        ],
    ),
    (
        lambda: Dropout(1.5),
        [
            "Dropout: dropout_rate is 1.5",
            "  fix:   it is at least 0 and below 1",
        ],
    ),
    (
        lambda: BatchNormalization(map_rank=2),
        [
            "BatchNormalization: map_rank=2: statistics are kept for each channel or for each element",
            "  fix:   give 1 for channels, or None for elements",
        ],
    ),
    (
        lambda: LSTM((2, 3)),
        [
            "LSTM: shape (2, 3) and cell_shape (2, 3) are not both vectors",
            "  fix:   give the number of units",
        ],
    ),
    (
        lambda: Recurrence(lambda a, b, x: a + b + x),
        [
            "the step function takes 2 states and a frame, and gives 1 states",
            "  fix:   give as many states as are taken, in the same order: (h, c, x) -> (h, c)",
        ],
    ),
    (
        lambda: Recurrence(LSTM(2), initial_state=(0, 0, 0)),
        [
            "Recurrence: the step function has 2 states, 3 initial states are given",
            "  fix:   give one initial state for all, or a tuple with one for each",
        ],
    ),
    (
        lambda: Recurrence(3),
        [
            "3 is not a step function",
            "  fix:   give a cell such as LSTM(300), or a Python function",
        ],
    ),
    (
        lambda: Sequential([3]),
        [
            "Sequential: 3 is no function",
            "  fix:   layers are made by calling their factory: Dense(10), not 10",
        ],
    ),
    (
        lambda: For(3, lambda: Dense(2)),
        [
            "For: 3 is not a range",
            "  fix:   write range(3)",
        ],
    ),
    (
        lambda: AttentionModel(6, attention_span=4),
        [
            "AttentionModel: attention_span is given, attention_axis is not",
            "  fix:   give both, or none",
        ],
    ),
    (
        lambda: UnfoldFrom(lambda s: s, length_increase=0),
        [
            "UnfoldFrom: length_increase is 0",
            "  fix:   it is above 0; 1 keeps the length",
        ],
    ),
    (
        lambda: Dense(4, init=None),
        [
            "init is None: there is nothing to fill the weights with",
            "  fix:   give a number, an array or an initializer",
        ],
    ),
]


@pytest.mark.parametrize(("mistake", "message"), MISTAKES, ids=[m[0].split(":")[0][:60] for _, m in MISTAKES])
def test_mistakes_when_a_layer_is_made(mistake, message):
    with pytest.raises(LabError) as caught:
        mistake()
    assert str(caught.value).splitlines() == message


def test_a_layer_is_no_maker_of_layers():
    with pytest.raises(LabError) as caught:
        For(range(3), Dense(2))
    assert str(caught.value).splitlines() == [
        "For: Dense(x: Sequence[tensor]) -> Sequence[tensor] is no Python function that makes a layer",
        "  fix:   write For(range(3), lambda: Dense(10)): each repetition needs parameters of its own",
    ]


def test_an_error_inside_a_layer_names_the_layer_and_the_line():
    with pytest.raises(LabError) as caught:
        Convolution2D((9, 9), 4, name="c1")(C.input_variable((3, 8, 8)))
    assert "in layer Convolution 'c1', built at test_messages.py:" in str(caught.value)
