"""The tutorial notebooks that come with the package: where they are, and a copy that is the user's own.

Knows files only; the command line and the Jupyter Server part both hand out the copy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cntk_lab._files import atomic_file
from cntk_lab.errors import NotAvailableError

FOLDER: Final = "cntk-lab-tutorials"
_HERE: Final = Path(__file__).resolve().parent


def notebooks() -> list[Path]:
    """The tutorials in the order they are read in.

    Raises:
        NotAvailableError: if the package holds none.
    """
    for folder in (_HERE / "notebooks", _HERE.parent / "notebooks"):
        if found := sorted(folder.glob("*.ipynb")):
            return found
    raise NotAvailableError(
        "this installation holds no tutorial notebooks", where=str(_HERE), fix="pip install --force-reinstall cntk-lab"
    )


def copy_to(folder: Path) -> list[Path]:
    """Copy the tutorials into a folder; what is there already is the user's and stays as it is.

    Args:
        folder: made if missing.

    Returns:
        The paths of the user's notebooks, in the order they are read in.
    """
    folder.mkdir(parents=True, exist_ok=True)
    copies = []
    for source in notebooks():
        target = folder / source.name
        if not target.exists():
            with atomic_file(target) as file:
                file.write(source.read_bytes())
        copies.append(target)
    return copies
