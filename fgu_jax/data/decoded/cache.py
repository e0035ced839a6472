"""A folder of decoded images that threads, commands and processes share.

Whatever goes wrong with it is said in one line and costs time, never a run.
"""

import contextlib
import os
import threading
from pathlib import Path

import numpy as np

from fgu_jax import user_cache
from fgu_jax.data.decoded.room import make_room
from fgu_jax.data.decoded.shards import (
    DamagedShard,
    ForeignShard,
    Shard,
    open_shard,
    shard_bytes,
    shard_size,
    write_shard,
)
from fgu_jax.messages import printable

SHARD_BYTES = 1 << 24
"""Pixels that are gathered before they are written; a killed process loses these."""

FEWEST = 16
"""Fewer images, where they are all that a process decoded, are not worth a file."""


class DecodedCache:
    """A folder of shards, as far as it can be read and written, and its use so far.

    Threads may share it, and processes the folder. The bound holds for the folder; of
    several processes that write at once each may go over it by one shard.

    Attributes:
      folder: of the shards; made when the first image is kept.
      limit: bytes that they may take together.
      found, decoded: how many images came out of it, and how many were decoded.

    Args:
      folder: private to the user: one that others may write to is not used.
      limit: in bytes; less where the disk has little room (``room.DISK_SHARE``).
      above: how many folders above it must be private, too, and are made so.
    """

    def __init__(self, folder: Path, limit: int, *, above: int = 0):
        self.folder, self.limit, self._above = folder, limit, above
        self.found = self.decoded = 0
        self._lock = threading.Lock()
        self._troubles: dict[str, int] = {}  # with how often
        self._usable: bool | None = None  # None: not looked at yet
        self._writes = True
        self._shards: dict[tuple[int, int], dict[bytes, Shard]] = {}  # by size, key
        self._pending: dict[tuple[int, int], dict[bytes, np.ndarray]] = {}
        self._seen: set[str] = set()
        self._in_use: set[str] = set()  # found in or written by us: not removed by us

    def find(self, key: bytes, height: int, width: int) -> np.ndarray | None:
        """The image of a key, uint8 [height, width, 3], or ``None``."""
        size = (height, width)
        with self._lock:
            if not self._ready(size):
                return None
            image = self._pending.get(size, {}).get(key)
            shard = self._shards[size].get(key)
        if image is None and shard is not None:
            image = self._read(shard, key)
        if image is not None:
            with self._lock:
                self.found += 1
        return image

    def keep(self, key: bytes, image: np.ndarray) -> None:
        """Takes an image in that was decoded, uint8 [height, width, 3]."""
        size = image.shape[:2]
        with self._lock:
            self.decoded += 1
            if not (self._writes and self._ready(size)):
                return
            rows = self._pending.setdefault(size, {})
            rows[key] = image
            if len(rows) * image.nbytes >= SHARD_BYTES:
                self._write(self._pending.pop(size))

    def close(self) -> None:
        """Writes what was gathered, unless it is less than ``FEWEST`` images."""
        with self._lock:
            pending, self._pending = self._pending, {}
            for rows in pending.values():
                if self.decoded >= FEWEST:
                    self._write(rows)

    def lines(self) -> list[str]:
        """For a person: how many images were found, and what went wrong."""
        asked = self.found + self.decoded
        if not asked:
            return []
        where = printable(str(self.folder))
        told = [
            f"decoded images: {self.found:,} of {asked:,} from the cache in {where}, "
            f"{self.decoded:,} decoded anew"
        ]
        return told + [
            f"  {trouble}" + (f" ({count:,} files)" if count > 1 else "")
            for trouble, count in self._troubles.items()
        ]

    def _ready(self, size: tuple[int, int]) -> bool:
        """Whether shards of a size can be looked up; those that are there are read."""
        if self._usable is None:
            self._usable = self._prepare()
        if self._usable and size not in self._shards:
            self._shards[size] = {}
            self._look()
        return self._usable

    def _prepare(self) -> bool:
        try:
            user_cache.make_private(self.folder, self._above)
            if not user_cache.is_private(self.folder, self._above):
                return self._give_up(
                    "the cache is not used: others may write to its folder; "
                    "chmod go-w it, or choose another --image_cache"
                )
            os.listdir(self.folder)
        except OSError as error:
            return self._give_up(f"the cache is not used: {error.strerror or error}")
        if not os.access(self.folder, os.W_OK | os.X_OK):
            self._no_more("its folder is not writable")
        return True

    def _give_up(self, trouble: str) -> bool:
        self._usable = self._writes = False
        self._say(trouble)
        return False

    def _no_more(self, why: str) -> None:
        self._writes = False
        self._pending.clear()
        self._say(f"no more images are kept: {why}")

    def _say(self, trouble: str) -> None:
        self._troubles[trouble] = self._troubles.get(trouble, 0) + 1

    def _look(self) -> None:
        """Opens the shards of all sizes in use that were not there when last looked."""
        try:
            names = sorted(os.listdir(self.folder))
        except OSError as error:
            self._give_up(f"the cache is not used: {error.strerror or error}")
            return
        for name in names:
            size = shard_size(name)
            if size not in self._shards or name in self._seen:
                continue
            self._seen.add(name)
            try:
                shard = open_shard(self.folder / name)
            except ForeignShard as error:
                self._say(f"a file that {error} is left alone")
            except DamagedShard as error:
                self._remove(name, str(error))
            except OSError:  # removed meanwhile, or not to be read
                continue
            else:
                self._shards[size].update(dict.fromkeys(shard.places, shard))

    def _read(self, shard: Shard, key: bytes) -> np.ndarray | None:
        name, damaged = shard.path.name, None
        try:
            image = shard.read(key)
        except DamagedShard as error:
            damaged = str(error)
        except OSError:  # another process made room
            damaged = ""
        with self._lock:
            known = self._shards[shard.height, shard.width]
            if damaged is None:
                if name not in self._in_use:
                    self._in_use.add(name)
                    with contextlib.suppress(OSError):
                        os.utime(shard.path)
                return image
            if known.get(key) is shard:  # the first of the threads that saw it
                if damaged:
                    self._remove(name, damaged)
                for each in shard.places:
                    if known.get(each) is shard:
                        del known[each]
        return None

    def _remove(self, name: str, why: str) -> None:
        """Takes a shard away that is of no use to anybody."""
        try:
            (self.folder / name).unlink(missing_ok=True)
        except OSError:
            self._say(f"a file that {why} is left alone")
        else:
            self._say(f"a file that {why} was removed")

    def _write(self, rows: dict[bytes, np.ndarray]) -> None:
        self._look()  # another process may have decoded the same
        height, width, _ = next(iter(rows.values())).shape
        known = self._shards[height, width]
        rows = {key: image for key, image in rows.items() if key not in known}
        if not rows or not self._writes:
            return
        needed = shard_bytes(height, width, len(rows))
        try:
            if not make_room(
                self.folder, needed, limit=self.limit, spared=self._in_use
            ):
                self._no_more(
                    "there is no room beside those that this command uses; "
                    "--image_cache_gib gives more, where the disk has it"
                )
                return
            shard = write_shard(self.folder, rows)
        except OSError as error:
            self._no_more(str(error.strerror or error))
            return
        self._seen.add(shard.path.name)
        self._in_use.add(shard.path.name)
        known.update(dict.fromkeys(shard.places, shard))
