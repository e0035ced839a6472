"""Folders that appear under their name when they are complete, or not at all."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fgu_jax.errors import InputError

_STALE_SECONDS = 600


@contextmanager
def whole_folder(
    final: Path,
    keep: Callable[[Path], bool],
    *,
    mend: str = "name another data_dir or free some space",
) -> Iterator[Path]:
    """A new folder to fill, which takes the place of ``final`` when all went well.

    What a killed process left is removed once
    nothing in it has changed for ten minutes.

    Args:
      final: where the folder shall be; its parent is made.
      keep: whether a folder that stands there by then is as good, and stays.
      mend: what the error tells to do.

    Raises:
      InputError: the place cannot be written, or the disk is full.
    """
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(final)
        with tempfile.TemporaryDirectory(
            prefix=f".{final.name}-", dir=final.parent, ignore_cleanup_errors=True
        ) as scratch:
            half = Path(scratch) / "half"
            half.mkdir()
            yield half
            if final.exists() and keep(final):
                return
            if final.exists():
                os.rename(final, Path(scratch) / "old")
            os.rename(half, final)
    except OSError as error:
        raise InputError(
            f"{str(final)!r} cannot be written: {error.strerror or error}; {mend}"
        ) from error


def _remove_leftovers(final: Path) -> None:
    for left in final.parent.glob(f".{final.name}-*"):
        times = [left, *left.rglob("*")]
        newest = max((path.lstat().st_mtime for path in times), default=0.0)
        if newest < time.time() - _STALE_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
