"""How much of a disk decoded images take: what was used longest ago makes room."""

import contextlib
import os
import shutil
import time
from collections.abc import Set
from pathlib import Path

from fgu_jax.data.decoded.shards import SCRATCH, shard_size

DISK_SHARE = 0.1
"""Of the disk's free space, the shards included, that they take at most."""

MOST_SHARDS = 512
"""Files of a folder, which are all opened at the start."""

_STALE_SECONDS = 600


def make_room(folder: Path, needed: int, *, limit: int, spared: Set[str]) -> bool:
    """Removes shards, those first that were used longest ago, until a new one fits.

    When a shard was used last is its time of change: it is written once.

    Args:
      folder: of the shards; other files in it are not looked at.
      needed: bytes of the new shard.
      limit: bytes that all may take together, where ``DISK_SHARE`` does not say less.
      spared: names of shards that stay.

    Returns:
      Whether it fits; where it cannot, nothing was removed for it.

    Raises:
      OSError: the folder cannot be listed, or a shard not be removed.
    """
    _remove_leftovers(folder)
    shards = _by_age(folder)
    taken = sum(size for _, size, _ in shards)
    most = min(limit, int(DISK_SHARE * (shutil.disk_usage(folder).free + taken)))
    removable = [(size, name) for _, size, name in shards if name not in spared]
    kept = taken - sum(size for size, _ in removable)
    if kept + needed > most or len(shards) - len(removable) >= MOST_SHARDS:
        return False
    count = len(shards)
    for size, name in removable:
        if taken + needed <= most and count < MOST_SHARDS:
            break
        (folder / name).unlink(missing_ok=True)
        taken, count = taken - size, count - 1
    return True


def _by_age(folder: Path) -> list[tuple[int, int, str]]:
    """Time of the last use in nanoseconds, bytes and name of each shard, in order."""
    shards = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if shard_size(entry.name) is None:
                continue
            with contextlib.suppress(FileNotFoundError):  # another process made room
                status = entry.stat(follow_symlinks=False)
                shards.append((status.st_mtime_ns, status.st_size, entry.name))
    return sorted(shards)


def _remove_leftovers(folder: Path) -> None:
    """Takes away what killed processes left half written."""
    for left in folder.glob(SCRATCH):
        with contextlib.suppress(OSError):
            if left.lstat().st_mtime < time.time() - _STALE_SECONDS:
                left.unlink()
