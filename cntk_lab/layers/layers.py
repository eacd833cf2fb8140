"""Layers of one step: dense, convolution, pooling, normalisation (a door)."""

from cntk_lab.layers._convolution import (
    Convolution,
    Convolution1D,
    Convolution2D,
    Convolution3D,
    SequentialConvolution,
)
from cntk_lab.layers._deconvolution import (
    ConvolutionTranspose,
    ConvolutionTranspose1D,
    ConvolutionTranspose2D,
    ConvolutionTranspose3D,
    Deconvolution,
)
from cntk_lab.layers._dense import Dense, Embedding, Label
from cntk_lab.layers._normalization import (
    Activation,
    BatchNormalization,
    Dropout,
    LayerNormalization,
)
from cntk_lab.layers._pooling import AveragePooling, GlobalAveragePooling, GlobalMaxPooling, MaxPooling, MaxUnpooling
from cntk_lab.tensor.randomness import AUTO_SEED

SentinelValueForAutoSelectRandomSeed = AUTO_SEED
"""The seed that means: the next one of the process."""

__all__ = [
    "Activation", "AveragePooling", "BatchNormalization", "Convolution", "Convolution1D", "Convolution2D",
    "Convolution3D", "ConvolutionTranspose", "ConvolutionTranspose1D", "ConvolutionTranspose2D",
    "ConvolutionTranspose3D",
    "Deconvolution", "Dense", "Dropout", "Embedding", "GlobalAveragePooling", "GlobalMaxPooling", "Label",
    "LayerNormalization", "MaxPooling", "MaxUnpooling", "SentinelValueForAutoSelectRandomSeed", "SequentialConvolution",
]  # fmt: skip
