"""A folder or an archive, seen as file names and their bytes."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

from fgu_jax.data.decode import MAX_BYTES, UnreadableImage
from fgu_jax.errors import InputError

DISTRACTOR = 0


class Tree(Protocol):
    """Files below one root; ``where`` is what messages call it."""

    @property
    def where(self) -> str: ...

    @property
    def names(self) -> tuple[str, ...]: ...

    def read(self, key: str | int) -> bytes: ...


@dataclass(frozen=True)
class FolderTree:
    """A folder on disk. Hidden files and folders are not listed."""

    root: Path

    @property
    def where(self) -> str:
        return str(self.root)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Relative names with ``/``, as the disk spells them, in no promised order."""
        try:
            return tuple(_walk(self.root, "", ()))
        except OSError as error:
            raise InputError(
                f"{error.filename!r} cannot be listed: {error.strerror}"
            ) from error

    def read(self, key: str | int) -> bytes:
        path = self.root / str(key)
        try:
            size = path.stat().st_size
            if size > MAX_BYTES:
                raise UnreadableImage(
                    f"{size:,} bytes, over the limit of {MAX_BYTES:,}"
                )
            return path.read_bytes()
        except OSError as error:
            raise InputError(f"{str(path)!r}: {error.strerror or error}") from error


def _walk(folder: Path, prefix: str, above: tuple) -> Iterator[str]:
    # Links to folders are followed, as people keep data sets elsewhere, but not in
    # a circle: never into a folder that is being walked already.
    stat = folder.stat()
    inside = (*above, (stat.st_dev, stat.st_ino))
    if inside[-1] in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_hidden(entry.name):
                continue
            if entry.is_dir():
                yield from _walk(Path(entry.path), f"{prefix}{entry.name}/", inside)
            else:
                yield prefix + entry.name


def is_hidden(part: str) -> bool:
    """What operating systems leave beside the files that people meant.

    >>> is_hidden(".DS_Store"), is_hidden("__MACOSX"), is_hidden("train")
    (True, True, False)
    """
    return part.startswith(".") or part == "__MACOSX"


@dataclass(frozen=True)
class Entry:
    """One image of a split: its name in the split, its key in the tree, its labels."""

    name: str
    key: str | int
    identity: int | None = None
    camera: int | None = None


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What a tree holds: entries a split, and what was counted on the way.

    ``splits`` has ``train``, ``query``, ``gallery``; identity -1 is junk.
    """

    splits: Mapping[str, list[Entry]]
    found: Mapping[str, int] = field(default_factory=dict)
    identity_names: tuple[str, ...] | None = None
