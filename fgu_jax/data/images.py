"""Images addressed by row, in an order that carries nothing."""

import hashlib
import stat
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from fgu_jax.data.decode import MAX_BYTES, Box, Resize, UnreadableImage
from fgu_jax.data.decoded.once import decode_once
from fgu_jax.errors import InputError
from fgu_jax.parallel.machine import cores
from fgu_jax.progress import Progress

"""``progress(done, total, what)``, called from one thread."""

_CHUNK = 64


class Source(Protocol):
    """Where encoded bytes come from, by a key that only the source understands."""

    def read(self, key: str | int) -> bytes: ...


@dataclass(frozen=True)
class FolderSource:
    """Files below ``root``; a key is a path relative to it, as the disk spells it."""

    root: Path

    def read(self, key: str | int) -> bytes:
        path = self.root / str(key)
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for
            raise UnreadableImage("is no plain file")
        if found.st_size > MAX_BYTES:
            raise UnreadableImage(
                f"{found.st_size:,} bytes, over the limit of {MAX_BYTES:,}"
            )
        return path.read_bytes()


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """Images and nothing else: training sees this, and there is no identity in it.

    Attributes:
      names: one a row, relative to the split's folder, NFC, with ``/``.
      keys: one a row, for ``source``.
      source: where the encoded bytes are.
      boxes: one a row, the part of the picture that is the image, or ``None`` for all
        of it; ``None``: no row has one.
      resize: how they come to the asked size, ``decode.resized``.
    """

    names: tuple[str, ...]
    keys: tuple[str | int, ...]
    source: Source
    boxes: tuple[Box | None, ...] | None = None
    resize: Resize = "squash"

    def __len__(self) -> int:
        return len(self.names)

    def read(self, row: int) -> bytes:
        """The encoded bytes of one row; raises InputError with the image's name."""
        try:
            return self.source.read(self.keys[row])
        except UnreadableImage as error:
            raise InputError(f"{self.names[row]!r}: {error}") from error
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"{self.names[row]!r} cannot be read: {reason}") from error

    def take(self, rows: Iterable[int]) -> "ImageSet":
        """The images of these rows, in their order."""
        rows = [int(row) for row in rows]
        return replace(
            self,
            names=tuple(self.names[row] for row in rows),
            keys=tuple(self.keys[row] for row in rows),
            boxes=self.boxes and tuple(self.boxes[row] for row in rows),
        )

    def decode_row(self, row: int, height: int, width: int) -> np.ndarray:
        """One image, uint8 [height, width, 3]; raises InputError with its name."""
        try:
            data = self.read(row)
            return decode_once(
                data, height, width, box=self.box(row), resize=self.resize
            )
        except UnreadableImage as error:
            raise InputError(f"{self.names[row]!r}: {error}") from error

    def box(self, row: int) -> Box | None:
        """The box of one row."""
        return None if self.boxes is None else self.boxes[row]

    def decode(
        self,
        height: int,
        width: int,
        *,
        progress: Progress | None = None,
        threads: int | None = None,
    ) -> np.ndarray:
        """All images as uint8 [N, height, width, 3], RGB, decoded in parallel.

        Args:
          height, width: size of the result in pixels.
          progress: called with (done, total, what).
          threads: how many decode at once; by default one a core, and one more for
            the time that the disk takes.

        Raises:
          InputError: names the images that cannot be read, after all were tried.
        """
        images = np.empty((len(self), height, width, 3), np.uint8)

        def keep(row: int, image: np.ndarray) -> None:
            images[row] = image

        bad = self._each(height, width, keep, progress, threads, "decoding images")
        if bad:
            raise InputError(describe_bad(bad, len(self)))
        return images

    def find_bad(
        self, *, progress: Progress | None = None, threads: int | None = None
    ) -> dict[str, str]:
        """Names of the images that cannot be decoded, with the reason of each."""
        return self._each(
            8, 8, lambda row, image: None, progress, threads, "checking images"
        )

    def _each(
        self,
        height: int,
        width: int,
        keep: Callable[[int, np.ndarray], None],
        progress: Progress | None,
        threads: int | None,
        what: str,
    ) -> dict[str, str]:
        def one(row: int) -> str | None:
            try:
                data = self.source.read(self.keys[row])
                box = self.box(row)
                image = decode_once(data, height, width, box=box, resize=self.resize)
                keep(row, image)
            except InputError as error:
                return str(error)
            except OSError as error:
                return str(error.strerror or error)
            return None

        def chunk(rows: range) -> list[tuple[int, str]]:
            reasons = ((row, one(row)) for row in rows)
            return [(row, reason) for row, reason in reasons if reason is not None]

        total, done = len(self), 0
        bad: list[tuple[int, str]] = []
        with ThreadPoolExecutor(threads or default_threads()) as pool:
            starts = range(0, total, _CHUNK)
            jobs = {
                pool.submit(chunk, rows): len(rows)
                for rows in (range(s, min(s + _CHUNK, total)) for s in starts)
            }
            pending = set(jobs)
            try:
                while pending:
                    finished, pending = wait(pending, return_when=FIRST_COMPLETED)
                    for job in finished:
                        bad += job.result()
                        done += jobs[job]
                    if progress is not None:
                        progress(done, total, what)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return {self.names[row]: reason for row, reason in sorted(bad)}


def default_threads() -> int:
    """One thread a core that this process may use, and one more."""
    return min(32, cores() + 1)


def describe_bad(bad: dict[str, str], total: int, shown: int = 5) -> str:
    """One line for the user: how many, the first few names, the mend."""
    first = ", ".join(f"{name!r} ({why})" for name, why in list(bad.items())[:shown])
    more = f" and {len(bad) - shown} more" if len(bad) > shown else ""
    return (
        f"{len(bad)} of {total} images cannot be read: {first}{more}; "
        "mend or remove them, or leave them out with skip_bad"
    )


def normal_name(name: str) -> str:
    """A relative path as every machine spells it: NFC, with ``/``.

    >>> normal_name("Caf" + "e" + chr(0x301) + ".jpg") == "Caf" + chr(0xE9) + ".jpg"
    True
    """
    return unicodedata.normalize("NFC", name)


def slashed(name: str) -> str:
    """A path with ``/``, whichever system wrote it.

    >>> slashed("C:\\\\photos\\\\1.jpg")
    'C:/photos/1.jpg'
    """
    return name.replace("\\", "/")


def row_key(name: str) -> tuple[bytes, bytes]:
    """What rows are sorted by: SHA-256 of the name, then (never needed) the name.

    Bytes of a name that are not UTF-8 are kept (``surrogateescape``), so that names
    sort the same wherever they were listed.
    """
    # A lone surrogate that is no escaped byte (Windows can spell one) passes as itself.
    try:
        spelt = normal_name(name).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        spelt = normal_name(name).encode("utf-8", "surrogatepass")
    return hashlib.sha256(spelt).digest(), spelt


def row_order(names: Sequence[str]) -> list[int]:
    """Indices that put ``names`` in row order.

    The order is one of a hash, because folders are sorted by identity and a row number
    must carry nothing.

    >>> names = ["0001_c1.jpg", "0001_c2.jpg", "0002_c1.jpg"]
    >>> [names[i] for i in row_order(names)]
    ['0002_c1.jpg', '0001_c1.jpg', '0001_c2.jpg']
    """
    return sorted(range(len(names)), key=lambda i: row_key(names[i]))
