"""A folder or an archive, seen as file names and their bytes."""

import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

from fgu_jax.data.decode import MAX_BYTES, UnreadableImage
from fgu_jax.data.kinds import START, is_picture, not_taken
from fgu_jax.data.reading import Reading
from fgu_jax.errors import InputError

DISTRACTOR = 0
HIDDEN = "hidden, or kept by a system or a program"
_SYSTEMS = frozenset(
    ("__macosx", "@eadir", "#recycle", "#snapshot", "$recycle.bin", "lost+found")
) | {
    *("system volume information", "@recycle", "@recently-snapshot", "@tmp"),
    *("recycler", "network trash folder", "temporary items"),
}
# Downloads that are not whole, and what programs that are at work keep.
_HALF = (".crdownload", ".part", ".partial", ".tmp", ".swp", ".bak", "~")
_MOST_PATHS = 4  # by which one folder is read, where links lead to it


class Tree(Protocol):
    """Files below one root; ``where`` is what messages call it.

    ``names`` and ``left_out`` together are all files that are there; what is left out
    has its reason.
    """

    @property
    def where(self) -> str: ...

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def left_out(self) -> Mapping[str, str]: ...

    def read(self, key: str | int) -> bytes: ...

    def start(self, key: str) -> bytes:
        """The first ``START`` bytes."""
        ...


@dataclass(frozen=True)
class FolderTree:
    """A folder on disk. Hidden files, pipes and what programs made are left out."""

    root: Path

    @property
    def where(self) -> str:
        return str(self.root)

    @cached_property
    def _found(self) -> tuple[tuple[str, ...], dict[str, str]]:
        try:
            found = list(_walk(self.root))
        except OSError as error:
            raise InputError(
                f"{error.filename!r} cannot be listed: {error.strerror}"
            ) from error
        names = tuple(name for name, reason in found if reason is None)
        return names, {name: reason for name, reason in found if reason is not None}

    @property
    def names(self) -> tuple[str, ...]:
        """Relative names with ``/``, as the disk spells them, in no promised order."""
        return self._found[0]

    @property
    def left_out(self) -> Mapping[str, str]:
        """What is there beside ``names``, with the reasons."""
        return self._found[1]

    def read(self, key: str | int) -> bytes:
        path = self.root / str(key)
        try:
            size = _size_of_plain(path)
            if size > MAX_BYTES:
                raise UnreadableImage(
                    f"{size:,} bytes, over the limit of {MAX_BYTES:,}"
                )
            return path.read_bytes()
        except OSError as error:
            raise InputError(f"{str(path)!r}: {error.strerror or error}") from error

    def start(self, key: str) -> bytes:
        try:
            with open(self.root / key, "rb", buffering=0) as file:
                return file.read(START)
        except OSError:
            return b""  # whoever reads it whole says why it cannot be


def _size_of_plain(path: Path) -> int:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise UnreadableImage(f"is {_kind(found.st_mode)}, not a plain file")
    return found.st_size


def _walk(root: Path) -> Iterator[tuple[str, str | None]]:
    """Files below a folder, each with the reason why it is left out, or ``None``.

    Links to folders are followed, as people keep data sets elsewhere, but not in a
    circle: never into a folder that is being walked already, and into none by more
    than a few paths.
    """
    read: dict[tuple[int, int], int] = {}
    waiting: list[tuple[str, str, tuple, str | None]] = [(str(root), "", (), None)]
    while waiting:
        folder, prefix, above, reason = waiting.pop()
        try:
            found = os.stat(folder)
            here = (found.st_dev, found.st_ino)
            read[here] = read.get(here, 0) + 1
            if here in above or read[here] > _MOST_PATHS:
                yield prefix.removesuffix("/"), "a link to a folder that is read anyhow"
                continue
            with os.scandir(folder) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError as error:
            if reason is None:
                raise
            yield prefix.removesuffix("/"), f"{reason}; {error.strerror or error}"
            continue
        made = _made_here({entry.name for entry in entries})
        if prefix:
            reason = reason or made
        for entry in entries:
            name, why = prefix + entry.name, reason
            if why is None and is_hidden(entry.name):
                why = HIDDEN
            if why is None and made and entry.name in _OF_A_RUN:
                why = made
            try:
                if entry.is_dir():
                    waiting.append((entry.path, f"{name}/", (*above, here), why))
                elif why is not None or entry.is_file():
                    yield name, why
                else:
                    yield name, _kind(entry.stat().st_mode)
            except OSError:
                yield name, "a link to nothing"


def _kind(mode: int) -> str:
    """What a file that is no plain one is."""
    kinds = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
    kinds[stat.S_IFDIR] = "a folder"
    return kinds.get(stat.S_IFMT(mode), "a device")


_OF_A_RUN = frozenset(("checkpoints", "report", "tensorboard", "thumbnails"))


def _made_here(names: set[str]) -> str | None:
    """Which command of ours made a folder of these entries, if one did."""
    if "config.json" in names:
        if names & {"run.json", "metrics.jsonl", "checkpoints", "run.lock"}:
            return "the folder of a run"
        if "export.json" in names:
            return "an exported network"
    if {"matches.json", "index.html"} <= names:
        return "the result of a search"
    dark = {name.removesuffix("-dark.png") for name in names if "-dark" in name}
    if "index.html" in names and any(f"{stem}-light.png" in names for stem in dark):
        return "the report of a run"
    if {"questions.json", "index.html"} <= names:
        return "the page of a review"
    if "runs" in names and any(
        name.startswith("table-") and name.endswith(".json") for name in names
    ):
        return "tables of runs"
    return None


def is_hidden(part: str) -> bool:
    """What operating systems leave beside the files that people meant.

    >>> is_hidden(".DS_Store"), is_hidden("@eaDir"), is_hidden("train")
    (True, True, False)
    """
    low = part.lower()
    return low.startswith((".", "~$")) or low in _SYSTEMS or low.endswith(_HALF)


def find_pictures(tree: Tree) -> tuple[list[str], dict[str, str]]:
    """The pictures of a tree, and all else that is there with the reasons.

    A file is a picture by its ending, or, with another or none, by its first bytes.
    """
    pictures, left_out = [], dict(tree.left_out)
    for name in tree.names:
        why = None if is_picture(name) else not_taken(name, tree.start(name))
        if why is None:
            pictures.append(name)
        else:
            left_out[name] = why
    return pictures, left_out


def beside(left_out: Mapping[str, str]) -> str:
    """What is there in place of pictures, and why the most of it is none.

    What systems keep counts last: they write a file beside each of one's own.

    >>> beside({"a.txt": "not a picture (.txt)", ".a": HIDDEN, ".b": HIDDEN})
    ' beside 3 other files (1: not a picture (.txt))'
    >>> beside({})
    ''
    """
    if not left_out:
        return ""
    counts = Counter(left_out.values())
    most = max(counts, key=lambda reason: (reason != HIDDEN, counts[reason]))
    return f" beside {len(left_out):,} other files ({counts[most]:,}: {most})"


@dataclass(frozen=True)
class Entry:
    """One image of a split: its name in the split, its key in the tree, its labels.

    ``box`` is (left, top, right, bottom) in pixels of the upright picture, where the
    image is a part of it. Images of equal ``track`` show one individual: a burst of a
    camera, a tracklet, an encounter.
    """

    name: str
    key: str | int
    identity: int | None = None
    camera: int | None = None
    box: tuple[float, float, float, float] | None = None
    track: int | None = None


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What a tree holds: entries a split, and what was counted on the way.

    ``splits`` has ``train``, ``query``, ``gallery``; identity -1 is junk. ``columns``
    are those of a table, as they stand in it, a row by an image's name.
    ``camera_names`` tell what a camera's number was called, where it was no number.
    """

    splits: Mapping[str, list[Entry]]
    found: Mapping[str, int] = field(default_factory=dict)
    identity_names: tuple[str, ...] | None = None
    camera_names: Mapping[int, str] = field(default_factory=dict)
    reading: Reading | None = None
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def reading_of(
    tree: Tree,
    splits: Mapping[str, Sequence[Entry]],
    reasons: Mapping[str, str],
    *,
    otherwise: str,
    notes: Sequence[str] = (),
    examples: Sequence[str] = (),
) -> Reading:
    """The reading of a tree whose entries are ``splits``: every file in it once.

    Args:
      tree: what was read.
      splits: what was taken.
      reasons: why files were left out, by name.
      otherwise: the reason of all others.
      notes, examples: as of ``Reading``.
    """
    taken = {e.key for entries in splits.values() for e in entries}
    left_out = dict(tree.left_out)
    for name in tree.names:
        if name not in taken:
            left_out[name] = reasons.get(name, otherwise)
    return Reading(
        where=tree.where,
        taken=len(taken),
        left_out=left_out,
        notes=tuple(notes),
        examples=tuple(examples),
    )
