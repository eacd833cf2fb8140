"""Every layer, under CNTK's names (a door)."""

from cntk_lab.default_options import default_options
from cntk_lab.layers import blocks, higher_order_layers, layers, models, sequence, typing
from cntk_lab.layers.blocks import (
    GRU,
    LSTM,
    ForwardDeclaration,
    RNNStep,
    RNNUnit,
    Stabilizer,
    UntestedBranchError,
    identity,
)
from cntk_lab.layers.higher_order_layers import For, ResNetBlock, Sequential, SequentialClique
from cntk_lab.layers.layers import *  # noqa: F403
from cntk_lab.layers.models import AttentionModel
from cntk_lab.layers.sequence import Delay, Fold, PastValueWindow, Recurrence, RecurrenceFrom, UnfoldFrom
from cntk_lab.layers.typing import ParameterTensor, Sequence, SequenceOver, Signature, SparseTensor, Tensor, tensor
from cntk_lab.ops import BlockFunction

__all__ = [
    "GRU",
    "LSTM",
    "AttentionModel",
    "BlockFunction",
    "Delay",
    "Fold",
    "For",
    "ForwardDeclaration",
    "ParameterTensor",
    "PastValueWindow",
    "RNNStep",
    "RNNUnit",
    "Recurrence",
    "RecurrenceFrom",
    "ResNetBlock",
    "Sequence",
    "SequenceOver",
    "Sequential",
    "SequentialClique",
    "Signature",
    "SparseTensor",
    "Stabilizer",
    "Tensor",
    "UnfoldFrom",
    "UntestedBranchError",
    "blocks",
    "default_options",
    "higher_order_layers",
    "identity",
    "layers",
    "models",
    "sequence",
    "tensor",
    "typing",
]  # fmt: skip
__all__ += layers.__all__
