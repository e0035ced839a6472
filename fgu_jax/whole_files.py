"""What a command writes: refused where something stands, whole or not there at all."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fgu_jax.errors import InputError


def check_output(
    path: Path,
    *,
    overwrite: bool,
    ours: Callable[[Path], bool] | None = None,
) -> None:
    """Refuses, before any work is done, an output that cannot or may not be written.

    Args:
      path: a file to be, or with ``ours`` a folder.
      overwrite: whether one that stands there may be replaced.
      ours: whether a folder is one that this command made; no other is ever replaced,
        unless it is empty.

    Raises:
      InputError: it exists, is of another kind, or its place cannot be written.
    """
    folder = ours is not None
    if path.is_dir() != folder and path.exists():
        wanted, other = ("folder", "file") if folder else ("file", "folder")
        raise InputError(f"{path} is a {other}: name a {wanted} as --output")
    if path.exists() and not (folder and not any(path.iterdir())):
        if not overwrite:
            raise InputError(
                f"{path} exists: add --overwrite to replace it, or choose another"
            )
        if ours is not None and not ours(path):
            raise InputError(f"{path} holds other files: choose another --output")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise _unwritable(path, error) from error


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A scratch file to fill, which becomes ``path`` when all went well.

    Raises:
      InputError: it cannot be written, or the disk is full.
    """
    scratch = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:80]}-", dir=path.parent)
        os.close(handle)
        scratch = Path(name)
        yield scratch
        scratch.chmod(0o666 & ~_umask())
        os.replace(scratch, path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        if scratch is not None:
            scratch.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A scratch folder to fill, which takes the place of ``path`` when all went well.

    Raises:
      InputError: it cannot be written, or the disk is full.
    """
    scratch = None
    try:
        scratch = Path(tempfile.mkdtemp(prefix=f".{path.name[:80]}-", dir=path.parent))
        new = scratch / "new"
        new.mkdir()
        yield new
        if path.exists():
            os.replace(path, scratch / "old")
        os.replace(new, path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(f"{path} cannot be written: {error.strerror or error}")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
