"""Files of decoded images of one size: written once, whole, and checked when read.

A shard is a header, an index of keys and the pixels, row behind row:

    magic, version, height, width, count; SHA-256 of these and of the index
    count times: key (32 bytes), CRC-32 of the key and the row's pixels
    count times: uint8 [height, width, 3]

It is written under another name and then renamed, so that a shard which can be seen is
whole, and processes that write at once need no lock. It is data that is compared with
its digests and never code. Rows are read, not mapped: the system keeps both in the same
memory, but a mapped file that somebody cuts ends the process with a signal, where a
read says so.
"""

import contextlib
import hashlib
import os
import re
import secrets
import stat
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fgu_jax import files, user_cache

VERSION = 1
KEY_BYTES = 32
SCRATCH = "*" + files.SCRATCH + ".rows"
"""What the names of shards that are being written look like."""

_MAGIC = b"\x93FGUROWS"
_HEADER = struct.Struct("<8sIIIQ")
_DIGEST = hashlib.sha256
_DIGEST_BYTES = 32
_ENTRY = struct.Struct(f"<{KEY_BYTES}sI")
_NAME = re.compile(r"([0-9]+)x([0-9]+)-[0-9a-f]{16}\.rows")


class ForeignShard(Exception):
    """A file that is no shard of this version, or that others may write: let it be."""


class DamagedShard(Exception):
    """A shard of ours that is cut, or holds other bytes than were written."""


@dataclass(frozen=True)
class Shard:
    """A shard whose header and index were read and are right.

    Attributes:
      path: of the file.
      height, width: of its images in pixels.
      places: of each key the row's number and its CRC-32.
    """

    path: Path
    height: int
    width: int
    places: Mapping[bytes, tuple[int, int]]

    def read(self, key: bytes) -> np.ndarray:
        """The image of a key, uint8 [height, width, 3].

        Raises:
          DamagedShard: it is not what was written.
          OSError: the file cannot be read, or is gone.
        """
        row, check = self.places[key]
        size = _row_bytes(self.height, self.width)
        with self.path.open("rb", buffering=0) as file:
            file.seek(_pixels_start(len(self.places)) + row * size)
            pixels = file.read(size)
        if len(pixels) != size or _check(key, pixels) != check:
            raise DamagedShard("holds other pixels than were written")
        return np.frombuffer(pixels, np.uint8).reshape(self.height, self.width, 3)


def shard_size(name: str) -> tuple[int, int] | None:
    """Height and width of the images in a shard of this name; ``None`` of other names.

    >>> shard_size("128x64-0123456789abcdef.rows")
    (128, 64)
    >>> shard_size("notes.txt") is None
    True
    """
    found = _NAME.fullmatch(name)
    return (int(found[1]), int(found[2])) if found else None


def shard_bytes(height: int, width: int, count: int) -> int:
    """How long the file of so many images is."""
    return _pixels_start(count) + count * _row_bytes(height, width)


def write_shard(folder: Path, rows: Mapping[bytes, np.ndarray]) -> Shard:
    """A new shard of these images, under a name of its own, for its user alone.

    Args:
      folder: where it shall be.
      rows: at least one uint8 [height, width, 3], all of one size, by keys of
        ``KEY_BYTES``.

    Raises:
      OSError: it cannot be written; nothing of it stays.
    """
    height, width, _ = next(iter(rows.values())).shape
    path = folder / f"{height}x{width}-{secrets.token_hex(8)}.rows"
    places = {
        key: (place, _check(key, row.tobytes()))
        for place, (key, row) in enumerate(rows.items())
    }
    header = _HEADER.pack(_MAGIC, VERSION, height, width, len(rows))
    index = b"".join(_ENTRY.pack(key, check) for key, (_, check) in places.items())
    scratch = files.scratch_of(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(scratch, flags, 0o600), "wb") as file:
            file.write(header + _DIGEST(header + index).digest() + index)
            for row in rows.values():
                file.write(row.tobytes())
        os.replace(scratch, path)
    except BaseException:
        with contextlib.suppress(OSError):
            scratch.unlink(missing_ok=True)
        raise
    return Shard(path, height, width, places)


def open_shard(path: Path) -> Shard:
    """The shard of a file; its header, its index and its length are checked.

    Raises:
      ForeignShard: it is none, of another version, or not the user's alone.
      DamagedShard: cut, or its index is not what was written.
      OSError: it cannot be read, or is gone.
    """
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise ForeignShard("is no plain file")
    if user_cache.others_may_write(status):
        raise ForeignShard("may be written by others")
    with path.open("rb") as file:
        start = file.read(_HEADER.size + _DIGEST_BYTES)
        if start[: len(_MAGIC)] != _MAGIC[: len(start)]:
            raise ForeignShard("is no file of decoded images")
        if len(start) < _HEADER.size + _DIGEST_BYTES:
            raise DamagedShard("is cut off")
        _, version, height, width, count = _HEADER.unpack(start[: _HEADER.size])
        if version != VERSION:
            raise ForeignShard(f"is of version {version}, not {VERSION}")
        # Before anything is read by a count that may be wrong.
        if status.st_size != shard_bytes(height, width, count):
            raise DamagedShard("is cut off")
        index = file.read(count * _ENTRY.size)
    header, digest = start[: _HEADER.size], start[_HEADER.size :]
    if _DIGEST(header + index).digest() != digest:
        raise DamagedShard("has another index than was written")
    if (height, width) != shard_size(path.name):
        raise DamagedShard(f"holds images of {height} x {width}")
    places = {
        key: (place, check)
        for place, (key, check) in enumerate(_ENTRY.iter_unpack(index))
    }
    if len(places) != count or not count:
        raise DamagedShard("has no keys, or one twice")
    return Shard(path, height, width, places)


def _check(key: bytes, pixels: bytes) -> int:
    return zlib.crc32(pixels, zlib.crc32(key))


def _row_bytes(height: int, width: int) -> int:
    return height * width * 3


def _pixels_start(count: int) -> int:
    return _HEADER.size + _DIGEST_BYTES + count * _ENTRY.size
