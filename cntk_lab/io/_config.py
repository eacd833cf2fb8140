"""The configuration of a source as an object of its own, under CNTK's names. Knows no data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cntk_lab.errors import AttributeValueError
from cntk_lab.io._streams import DEFAULT_RANDOMIZATION_WINDOW_IN_CHUNKS, FULL_DATA_SWEEP, INFINITELY_REPEAT

_THREADED = {"ImageDeserializer", "Base64ImageDeserializer"}


class OptionalFlag:
    """A switch that may be left open: then the deserializers decide."""

    def __init__(self, value: bool | None = None) -> None:
        self.value = value

    def set(self, value: bool) -> None:
        """Switch on or off."""
        self.value = bool(value)

    def get(self, fallback: bool) -> bool:
        """The value, or ``fallback`` while it is open."""
        return fallback if self.value is None else self.value


class MinibatchSourceConfig:
    """What a MinibatchSource is made from.

    Args:
        deserializers: what is read.
        randomize: whether sequences are shuffled.

    Example:
        >>> MinibatchSourceConfig(randomize=False).to_dictionary()["randomize"]
        False

    Source: CNTK 2.7 ``cntk_py.MinibatchSourceConfig``.
    """

    def __init__(self, deserializers: Iterable[Any] = (), randomize: bool = True) -> None:
        self.deserializers = list(deserializers)
        self.max_samples, self.max_sweeps = INFINITELY_REPEAT, INFINITELY_REPEAT
        self.randomization_window_in_chunks = DEFAULT_RANDOMIZATION_WINDOW_IN_CHUNKS if randomize else 0
        self.randomization_window_in_samples, self.randomization_seed = 0, 0
        self.trace_level: Any = 1
        self.is_multithreaded = OptionalFlag()
        self.is_frame_mode_enabled = False
        self.truncation_length = 0
        self.max_errors = 0

    def add_deserializer(self, deserializer: Any) -> MinibatchSourceConfig:
        """Add what is read; returns itself."""
        self.deserializers.append(deserializer)
        return self

    @property
    def randomize(self) -> bool:
        """Whether sequences are shuffled."""
        return self.randomization_window_in_chunks > 0 or self.randomization_window_in_samples > 0

    def check(self) -> None:
        """Whether the values fit together.

        Raises:
            AttributeValueError: if not.
        """
        if self.max_samples < FULL_DATA_SWEEP and self.max_sweeps != INFINITELY_REPEAT:
            raise AttributeValueError(
                f"max_samples={self.max_samples} and max_sweeps={self.max_sweeps} are mutually exclusive",
                fix="give one",
            )
        if self.randomization_window_in_chunks and self.randomization_window_in_samples:
            raise AttributeValueError(
                f"the randomization window is given in chunks ({self.randomization_window_in_chunks}) and in samples "
                f"({self.randomization_window_in_samples})",
                fix="set one of them to 0",
            )
        if self.is_frame_mode_enabled and self.truncation_length:
            raise AttributeValueError(
                f"frame_mode and truncation_length={self.truncation_length} are mutually exclusive", fix="give one"
            )

    def to_dictionary(self) -> dict[str, Any]:
        """The entries of CNTK's configuration.

        Raises:
            AttributeValueError: if the values do not fit together.
        """
        self.check()
        level = getattr(self.trace_level, "value", self.trace_level)
        threaded = any(d["type"] in _THREADED for d in self.deserializers)
        entries: dict[str, Any] = {
            "frameMode": self.is_frame_mode_enabled,
            "multiThreadedDeserialization": self.is_multithreaded.get(threaded),
            "traceLevel": level,
            "randomize": self.randomize,
            "deserializers": [dict(d) for d in self.deserializers],
        }
        if self.randomize:
            entries["randomizationWindow"] = self.randomization_window_in_chunks or self.randomization_window_in_samples
            entries["sampleBasedRandomizationWindow"] = self.randomization_window_in_samples > 0
            entries["randomizationSeed"] = self.randomization_seed
        if self.truncation_length:
            entries["truncated"], entries["truncationLength"] = True, self.truncation_length
        return entries
