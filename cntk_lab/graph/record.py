"""Record: named values, read as attributes or as entries of a dictionary. Knows nothing else."""

from __future__ import annotations

from typing import Any, NoReturn

from cntk_lab.errors import SignatureError


class Record(dict[str, Any]):
    """Named values, read as ``record.name`` or ``record["name"]``; cannot be changed.

    Args:
        args_dict: entries that come first.
        kwargs: further entries.

    Example:
        >>> point = Record(x=1, y=2)
        >>> point.x, point["y"], point.updated_with(y=3).y
        (1, 2, 3)

    Source: CNTK 2.7 ``variables.Record``.
    """

    def __init__(self, **args_dict: Any) -> None:
        super().__init__(args_dict)

    def __getattr__(self, key: str) -> Any:
        if key in self:
            return self[key]
        raise AttributeError(f"record has no attribute '{key}'; it has: {', '.join(self)}")

    def __setattr__(self, key: str, value: Any) -> NoReturn:
        raise SignatureError(f"record cannot be changed: '{key}'", fix=f"make another: record.updated_with({key}=...)")

    def updated_with(self, **kwargs: Any) -> Record:
        """Another record with entries added or replaced.

        Args:
            kwargs: the entries.

        Returns:
            Record; this one stays as it is.

        Example:
            >>> Record(a=1).updated_with(b=2)
            {'a': 1, 'b': 2}

        Source: CNTK 2.7 ``variables.Record``.
        """
        return Record(**{**self, **kwargs})
