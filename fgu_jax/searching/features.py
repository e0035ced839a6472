"""Features of files, looked up by content, and only then decoded and embedded.

One SQLite file: an interrupted search loses nothing that it had computed, two searches
may run at once, and a file's name or date decides nothing. Whatever goes wrong with the
cache is said and costs time, never a search.
"""

import dataclasses
import functools
import hashlib
import sqlite3
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from fgu_jax.data import ImageSet
from fgu_jax.data.decode import UnreadableImage
from fgu_jax.data.images import FolderSource, default_threads
from fgu_jax.data.layouts.tree import FolderTree, beside, find_pictures
from fgu_jax.data.reading import Reading
from fgu_jax.errors import InputError
from fgu_jax.inference.embedder import Embedder
from fgu_jax.progress import Progress

CHUNK = 512  # files after which what is new is kept
PART = "fused"


class FeatureCache:
    """Features of one network, under SHA-256 digests of the images' files.

    Attributes:
      trouble: why the cache is not used, or what in it was damaged, or ``None``.
    """

    def __init__(self, path: Path | None, network: str):
        """Opens or makes the file; ``path=None`` keeps nothing.

        Args:
          path: of the SQLite file.
          network: identity of the network; features of others are not seen.
        """
        self.trouble: str | None = None
        self._path, self._network, self._damaged = path, network, 0
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
        asked = "select image from features where network = ?"
        return {image for (image,) in self._answers(asked, self._network)}

    def read(
        self, images: Iterable[bytes], width: int | None = None
    ) -> dict[bytes, np.ndarray]:
        """Features float32 [F] of digests; missing and damaged ones are left out.

        Args:
          images: the digests.
          width: F; ``None``: that of most features that are kept.

        What is no unit row of that width is damaged, and told in ``trouble``.
        """
        if width is None:
            most = self._answers(_WIDTH, self._network)
            width = most[0][0] // 4 if most else 0
        asked = "select feature from features where network = ? and image = ?"
        features = {}
        for image in images:
            for (feature,) in self._answers(asked, self._network, image):
                if _is_whole(feature, width):
                    features[image] = np.frombuffer(feature, "<f4")
                else:
                    self._tell_damaged()
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

    def _answers(self, asked: str, *values: Any) -> list[tuple]:
        """What the file answers; nothing from its first error on."""
        if self._connection is None:
            return []
        try:
            return self._connection.execute(asked, values).fetchall()
        except sqlite3.Error as error:
            self._give_up(error)
            return []

    def _tell_damaged(self) -> None:
        self._damaged += 1
        self.trouble = (
            f"features in the cache {str(self._path)!r} that were damaged and are made "
            f"anew: {self._damaged:,}"
        )

    def _give_up(self, error: Exception) -> None:
        self.trouble = f"the cache {str(self._path)!r} is not used: {error}"
        if (
            type(error) is sqlite3.DatabaseError
        ):  # none of its kinds: the file is broken
            self.trouble += ": delete it, and the next search makes it anew"
        self.close()


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
        raise InputError(f"{what} {str(path)!r} has no images in it{beside(left_out)}")
    reading = Reading(where=str(path), taken=len(pictures), left_out=left_out)
    return path, tuple(sorted(pictures)), reading


def embed_files(
    root: Path,
    names: tuple[str, ...],
    reading: Reading,
    network: Embedder,
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
    known = cache.known()
    seen: dict[str, bytes | str] = {}
    features: dict[bytes, np.ndarray] = {}
    bad: dict[bytes, str] = {}
    digest = functools.partial(_digest, FolderSource(root))
    with ThreadPoolExecutor(default_threads()) as pool:
        for start in range(0, len(names), CHUNK):
            part = names[start : start + CHUNK]
            found = dict(zip(part, pool.map(digest, part), strict=True))
            new = {
                of: name
                for name, of in found.items()
                if isinstance(of, bytes) and not (of in known or of in features)
            }
            rows, reasons = _embedded(root, new, network)
            cache.keep(rows)
            seen |= found
            features |= rows
            bad |= reasons
            if progress is not None:
                progress(start + len(part), len(names), what)
    kept = {
        of: name
        for name, of in seen.items()
        if isinstance(of, bytes) and not (of in features or of in bad)
    }
    width = next((row.size for row in features.values()), None)
    cached = cache.read(kept, width)
    gone = {of: name for of, name in kept.items() if of not in cached}
    rows, reasons = _embedded(root, gone, network)
    cache.keep(rows)
    features |= cached | rows
    digests, unreadable = _parted(seen, bad | reasons)
    if not digests:
        name, reason = next(iter(unreadable.items()))
        raise InputError(
            f"not one of {len(names)} {what} images can be read: {name!r} ({reason})"
        )
    return Embedded(
        root=root,
        names=tuple(digests),
        digests=tuple(digests.values()),
        features=np.stack([features[of] for of in digests.values()]),
        unreadable=unreadable,
        num_cached=sum(of in cached for of in digests.values()),
        reading=reading.without(unreadable),
    )


def _parted(
    seen: Mapping[str, bytes | str], bad: Mapping[bytes, str]
) -> tuple[dict[str, bytes], dict[str, str]]:
    """Digests of files by name, and why the others cannot be read."""
    digests, unreadable = {}, {}
    for name, of in seen.items():
        if isinstance(of, bytes) and of not in bad:
            digests[name] = of
        else:
            unreadable[name] = of if isinstance(of, str) else bad[of]
    return digests, unreadable


def _digest(source: FolderSource, name: str) -> bytes | str:
    """SHA-256 of a file's bytes, or why they cannot be had."""
    try:
        if not (source.root / name).is_file():
            return "is not a file, or links to none"
        return hashlib.sha256(source.read(name)).digest()
    except UnreadableImage as error:
        return str(error)
    except OSError as error:
        return str(error.strerror or error)


@dataclasses.dataclass(frozen=True)
class _Files(FolderSource):
    """Files whose digests are known, by name; what has changed since is not read."""

    digests: Mapping[str, bytes]

    def read(self, key: str | int) -> bytes:
        data = super().read(key)
        if hashlib.sha256(data).digest() != self.digests[str(key)]:
            raise UnreadableImage("changed while it was read")
        return data


def _embedded(
    root: Path, files: Mapping[bytes, str], network: Embedder
) -> tuple[dict[bytes, np.ndarray], dict[bytes, str]]:
    """Features of files, and why some have none, by the digests of their contents."""
    if not files:
        return {}, {}
    digests = {name: of for of, name in files.items()}
    names = tuple(digests)
    images = ImageSet(names=names, keys=names, source=_Files(root, digests))
    try:
        rows = network.of_set(images, (PART,), stream="always")[PART]
    except InputError:
        bad = {digests[name]: why for name, why in images.find_bad().items()}
        if not bad:
            raise
        good = {of: name for of, name in files.items() if of not in bad}
        return _embedded(root, good, network)[0], bad
    return dict(zip(files, rows, strict=True)), {}


def _is_whole(feature: Any, width: int) -> bool:
    """Whether a value of the cache is a unit row of ``width`` numbers."""
    if not isinstance(feature, bytes) or len(feature) != 4 * width:
        return False
    length = float(np.linalg.norm(np.frombuffer(feature, "<f4").astype(np.float64)))
    return abs(length - 1) < 0.01  # not of NaN


_WIDTH = """
select length(feature) from features where network = ? and typeof(feature) = 'blob'
group by 1 order by count(*) desc, 1 desc limit 1
"""

_TABLE = """
create table if not exists features (
  network text, image blob, feature blob, primary key (network, image)
) without rowid
"""
