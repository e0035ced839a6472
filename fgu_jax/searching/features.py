"""Features of files, looked up by content, and only then decoded and embedded.

One SQLite file: an interrupted search loses nothing that it had computed, two searches
may run at once, and a file's name or date decides nothing. Whatever goes wrong with the
cache is said and costs time, never a search.
"""

import dataclasses
import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np

from fgu_jax.data.decode import UnreadableImage, decode_image
from fgu_jax.data.images import FolderSource, default_threads
from fgu_jax.data.layouts.tree import FolderTree, find_pictures
from fgu_jax.data.reading import Reading
from fgu_jax.errors import InputError
from fgu_jax.progress import Progress

CHUNK = 512  # decoded images that wait to be embedded


class FeatureCache:
    """Features of one network, under SHA-256 digests of the images' files.

    Attributes:
      trouble: why the cache is not used, or ``None``.
    """

    def __init__(self, path: Path | None, network: str):
        """Opens or makes the file; ``path=None`` keeps nothing.

        Args:
          path: of the SQLite file.
          network: identity of the network; features of others are not seen.
        """
        self.trouble: str | None = None
        self._path, self._network = path, network
        self._connection: sqlite3.Connection | None = None
        if path is None:
            return
        try:
            self._connection = sqlite3.connect(path)
            self._connection.execute(_TABLE)
        except sqlite3.Error as error:
            self._give_up(error)

    def __enter__(self) -> "FeatureCache":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def known(self) -> set[bytes]:
        """Digests that have a feature."""
        if self._connection is None:
            return set()
        try:
            found = self._connection.execute(
                "select image from features where network = ?", (self._network,)
            )
            return {image for (image,) in found}
        except sqlite3.Error as error:
            self._give_up(error)
            return set()

    def read(self, images: Iterable[bytes]) -> dict[bytes, np.ndarray]:
        """Features float32 [F] of digests; those that are missing are left out."""
        features: dict[bytes, np.ndarray] = {}
        if self._connection is None:
            return features
        try:
            for image in images:
                found = self._connection.execute(
                    "select feature from features where network = ? and image = ?",
                    (self._network, image),
                ).fetchone()
                if found is not None:
                    features[image] = np.frombuffer(found[0], "<f4")
        except (sqlite3.Error, ValueError, TypeError) as error:
            self._give_up(error)
            return {}
        return features

    def keep(self, features: dict[bytes, np.ndarray]) -> None:
        """Adds features float32 [F] under their digests, all of them or none."""
        if self._connection is None:
            return
        rows = (
            (self._network, image, feature.astype("<f4").tobytes())
            for image, feature in features.items()
        )
        try:
            with self._connection:
                self._connection.executemany(
                    "insert or replace into features values (?, ?, ?)", rows
                )
        except sqlite3.Error as error:
            self._give_up(error)

    def close(self) -> None:
        """Closes the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _give_up(self, error: Exception) -> None:
        self.trouble = f"the cache {str(self._path)!r} is not used: {error}"
        self.close()


class Network(Protocol):
    """What a search asks of a network; ``fgu_jax.Embedder`` is one."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels that it takes images in."""
        ...

    @property
    def identity(self) -> str:
        """The same for networks that give the same features, and for no others."""
        ...

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """uint8 [B, height, width, 3] to float32 [B, F], unit rows."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Embedded:
    """The readable images of a folder, by name, with their features.

    Attributes:
      root: their folder.
      names: relative to it, as the disk spells them, sorted.
      digests: SHA-256 of each file's bytes.
      features: float32 [N, F], unit rows.
      unreadable: names of the others, with the reason.
      num_cached: how many features came out of the cache.
      reading: of the folder, what was taken and what was left out.
    """

    root: Path
    names: tuple[str, ...]
    digests: tuple[bytes, ...]
    features: np.ndarray
    unreadable: dict[str, str]
    num_cached: int
    reading: Reading


def find_images(path: Path, what: str) -> tuple[Path, tuple[str, ...], Reading]:
    """A folder, the names of the images in it, sorted, and its reading; or one image.

    Args:
      path: a folder, looked through with all below it, or an image.
      what: what messages call it.

    Raises:
      InputError: there is no such thing, or no image in it.
    """
    if path.is_file():
        return path.parent, (path.name,), Reading(where=str(path), taken=1)
    if not path.is_dir():
        raise InputError(f"{what} {str(path)!r} does not exist: name a file or folder")
    pictures, left_out = find_pictures(FolderTree(path))
    if not pictures:
        others = f" beside {len(left_out):,} other files" if left_out else ""
        raise InputError(f"{what} {str(path)!r} has no images in it{others}")
    reading = Reading(where=str(path), taken=len(pictures), left_out=left_out)
    return path, tuple(sorted(pictures)), reading


def embed_files(
    root: Path,
    names: tuple[str, ...],
    reading: Reading,
    network: Network,
    cache: FeatureCache,
    *,
    what: str,
    progress: Progress | None = None,
) -> Embedded:
    """Features of files. A content that comes twice is embedded once.

    Args:
      root: folder of the files.
      names: relative to it.
      reading: of the folder.
      network: the trained network.
      cache: is asked first, and told what is new.
      what: what messages and the bar call them.
      progress: called with files done, how many there are, and ``what``.

    Raises:
      InputError: not one can be read.
    """
    known = frozenset(cache.known())
    read = _reader(FolderSource(root), network.size, known)
    digests: dict[str, bytes] = {}
    unreadable: dict[str, str] = {}
    features: dict[bytes, np.ndarray] = {}
    waiting: dict[bytes, np.ndarray] = {}

    def embed_waiting() -> None:
        if waiting:
            rows = network(np.stack(list(waiting.values())))
            new = dict(zip(waiting, np.asarray(rows, np.float32), strict=True))
            cache.keep(new)
            features.update(new)
            waiting.clear()

    with ThreadPoolExecutor(default_threads()) as pool:
        for done, (name, result) in enumerate(_in_order(pool, read, names), 1):
            if isinstance(result, str):
                unreadable[name] = result
            else:
                digest, image = result
                digests[name] = digest
                if image is not None and digest not in features:
                    waiting[digest] = image
                if len(waiting) == CHUNK:
                    embed_waiting()
            if progress is not None:
                progress(done, len(names), what)
    embed_waiting()
    if not digests:
        name, reason = next(iter(unreadable.items()))
        raise InputError(
            f"not one of {len(names)} {what} images can be read: {name!r} ({reason})"
        )
    cached = {digest for digest in digests.values() if digest not in features}
    features |= cache.read(cached)
    if len(features) < len(set(digests.values())):  # it broke in between
        with FeatureCache(None, network.identity) as none:
            return embed_files(
                root, names, reading, network, none, what=what, progress=progress
            )
    return Embedded(
        root=root,
        names=tuple(digests),
        digests=tuple(digests.values()),
        features=np.stack([features[digest] for digest in digests.values()]),
        unreadable=unreadable,
        num_cached=sum(digest in cached for digest in digests.values()),
        reading=reading.without(unreadable),
    )


Read = tuple[bytes, np.ndarray | None] | str


def _reader(
    source: FolderSource, size: tuple[int, int], known: frozenset[bytes]
) -> Callable[[str], Read]:
    """Name to (digest, image; None where its feature is known), or why it cannot be."""

    def read(name: str) -> Read:
        try:
            if not (source.root / name).is_file():
                return "is not a file, or links to none"
            data = source.read(name)
            digest = hashlib.sha256(data).digest()
            if digest in known:
                return digest, None
            return digest, decode_image(data, *size)
        except UnreadableImage as error:
            return str(error)
        except OSError as error:
            return str(error.strerror or error)

    return read


def _in_order(
    pool: ThreadPoolExecutor, read: Callable[[str], Read], names: tuple[str, ...]
) -> Iterator[tuple[str, Read]]:
    """Results in the order of the names; a chunk is decoded while one is embedded."""
    chunks = [names[i : i + CHUNK] for i in range(0, len(names), CHUNK)]
    ahead: list[tuple[str, Future[Read]]] = []
    for chunk in [*chunks, ()]:
        following = [(name, pool.submit(read, name)) for name in chunk]
        for name, job in ahead:
            yield name, job.result()
        ahead = following


_TABLE = """
create table if not exists features (
  network text, image blob, feature blob, primary key (network, image)
) without rowid
"""
