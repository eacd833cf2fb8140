"""Random operators under their CNTK names."""

from cntk_lab.ops._random import (
    bernoulli,
    bernoulli_like,
    gumbel,
    gumbel_like,
    normal,
    normal_like,
    uniform,
    uniform_like,
)

__all__ = ["bernoulli", "bernoulli_like", "gumbel", "gumbel_like", "normal", "normal_like", "uniform", "uniform_like"]
