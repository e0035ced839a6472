"""Folders below the user's cache that nobody else may write to."""

import os
import stat
from pathlib import Path


def own_folder(*names: str) -> Path:
    """``$XDG_CACHE_HOME/fgu_jax/NAMES``, else below ``~/.cache``; it may not exist yet.

    Raises:
      RuntimeError: the user has no home.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    return home.joinpath("fgu_jax", *names)


def make_private(folder: Path, above: int = 0) -> None:
    """Makes a folder, and so many above it, for the user alone; what is there stays.

    Raises:
      OSError: it cannot be made.
    """
    for place in (*reversed(folder.parents[:above]), folder):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)


def others_may_write(status: os.stat_result) -> bool:
    """Whether a file or folder is another user's, or may be written by others."""
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return True
    return hasattr(os, "getuid") and status.st_uid != os.getuid()


def is_private(folder: Path, above: int = 0) -> bool:
    """Whether nobody else may write to the folder or to so many above it."""
    places = (folder, *folder.parents[:above])
    return not any(others_may_write(place.stat()) for place in places)
