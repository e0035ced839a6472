"""A lock on a run's folder: two processes never train in one.

The lock is the kernel's, on a file in the folder. It ends with the process that holds
it, however that ends: no stale lock is ever left to remove by hand.
"""

import contextlib
import errno
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

from fgu_jax import files
from fgu_jax.errors import InputError, InUse

NAME = "run.lock"
# Filesystems without locks, some of them network ones, answer with one of these.
_WITHOUT_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
_PATIENCE_SECONDS = 1.0  # another process that only looks holds it for an instant


def check_free(directory: Path) -> None:
    """Refuses a folder that another process trains in; writes nothing.

    Raises:
      InUse: by which process, on which machine, since when.
    """
    try:
        file = (directory / NAME).open("rb")
    except OSError:
        return  # no lock was ever taken, or ``hold`` will say what is wrong
    with file:
        _lock(file, directory, shared=True)


@contextlib.contextmanager
def hold(directory: Path, warn: Callable[[str], object]) -> Iterator[None]:
    """Holds the folder until the block ends, or the process dies.

    Args:
      directory: an existing folder.
      warn: told, in one line, where the filesystem knows no locks; the run goes on.

    Raises:
      InUse: another process trains there.
      NotWritten: the file cannot be made.
    """
    with files.writing(directory):
        # Opened without emptying it: until it is locked, it tells of another process.
        handle = os.open(directory / NAME, os.O_RDWR | os.O_CREAT, 0o666)
        file = os.fdopen(handle, "r+b", buffering=0)
    with file:
        if _lock(file, directory, shared=False):
            _sign(file)
        else:
            warn(
                f"{directory} lies where files cannot be locked: see to it yourself "
                "that no other process trains there"
            )
        yield


def _lock(file: IO, directory: Path, *, shared: bool) -> bool:
    """Locks the file; false where there are no locks."""
    if fcntl is None:
        return False
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    give_up = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() < give_up:
                time.sleep(0.05)
                continue
            raise InUse(
                f"{directory} is in use{_holder(directory)}: wait until that run has "
                "ended, or choose another --workdir"
            ) from None
        except OSError as error:
            if error.errno in _WITHOUT_LOCKS:
                return False
            raise InputError(
                f"{directory / NAME} cannot be locked: {error.strerror}"
            ) from error


def _sign(file: IO) -> None:
    holder = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    with contextlib.suppress(OSError):  # a full disk: it only words an error
        file.truncate(0)
        file.write(json.dumps(holder).encode() + b"\n")


def _holder(directory: Path) -> str:
    try:
        found = json.loads((directory / NAME).read_text(encoding="utf-8"))
        return (
            f" by process {int(found['pid'])} on {found['host']!s:.100} since "
            f"{found['since']!s:.30}"
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return " by another process"
