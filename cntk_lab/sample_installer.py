"""``cntk.sample_installer``: samples in a folder of the user's. They are this package's own tutorials.

CNTK fetched an archive from a server that is gone; nothing is fetched here.
"""

from __future__ import annotations

from pathlib import Path

from cntk_lab import tutorials
from cntk_lab.errors import NotAvailableError

__all__ = ["default_sample_dir", "default_sample_url", "install_samples", "module_is_unreleased"]


def module_is_unreleased() -> bool:
    """Whether this is no released version: never, as far as programs of CNTK are concerned."""
    return False


def default_sample_dir() -> str:
    """The name of the folder for samples.

    Returns:
        A folder name, without a path.

    Source: this project.
    """
    return tutorials.FOLDER


def default_sample_url() -> str:
    """Where samples are fetched from: nowhere.

    Returns:
        The empty string.

    Source: this project.
    """
    return ""


def install_samples(url: str | None = None, directory: str | Path | None = None, quiet: bool = False) -> None:
    """Copies of the tutorial notebooks in a folder of the user's; what is there already stays as it is.

    Args:
        url: None; CNTK took the address of an archive.
        directory: the folder; default ``cntk-lab-tutorials`` in the current one.
        quiet: say nothing.

    Raises:
        NotAvailableError: if a URL is given: archives of samples are not fetched.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     install_samples(directory=folder, quiet=True)
        ...     sum(1 for _ in Path(folder).glob("*.ipynb")) > 0
        True

    Source: CNTK 2.7 ``sample_installer.install_samples``.
    """
    if url:
        raise NotAvailableError(
            f"install_samples: archives of samples are not fetched, and {url} was given",
            fix="call it without a URL for the tutorials of this package; fetch and unpack other archives yourself",
        )
    folder = Path(directory or default_sample_dir())
    copies = tutorials.copy_to(folder)
    if not quiet:
        print(f"{len(copies)} tutorials in {folder.resolve()}")  # noqa: T201 (as CNTK: it is called by hand)


if __name__ == "__main__":
    install_samples()
