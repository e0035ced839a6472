"""What is written: whole or not there at all, in one line where it cannot be.

``replace``, ``append`` and ``writing`` are for the files of a run, whose error says how
to go on with it; ``whole_file`` and ``whole_folder`` are for what a command makes;
``check_output`` refuses, before any work is done, what could not be written.
"""

import contextlib
import errno
import hashlib
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from fgu_jax.errors import GO_ON, InputError, NotWritten

SCRATCH = ".new"
_MEND = f"make room and {GO_ON}"
_MEND_OTHERWISE = f"mend that and {GO_ON}, or choose another --workdir"
# What the error of a dataset that cannot be written tells to do.
OTHER_PLACE = "name another data_dir or free some space"
_STALE_SECONDS = 600
# A folder that is being filled: of what, by which process of which machine; and then
# what mkdtemp adds. All of one length, so that no name reads as another's.
_FILLED = re.compile(r"\.fgu-new-[0-9a-f]{16}-([0-9a-f]{8})-(\d+)-[a-z0-9_]{8}")
# A folder of such a name would be taken for the file that it is not.
_OF_FILES = frozenset(
    (".onnx", ".pt", ".pth", ".bin", ".safetensors", ".h5", ".keras", ".pb", ".tflite")
) | {".npz", ".zip", ".tar", ".gz", ".json", ".html", ".csv", ".engine", ".mlmodel"}


def replace(path: Path, text: str, *, shared: bool = False) -> None:
    """Puts ``text`` in place of what the file held; the whole of it or nothing.

    Args:
      path: of the file.
      text: all of it.
      shared: another process may be writing the same file.

    Raises:
      NotWritten: a full disk, or a folder that cannot be written.
    """
    scratch = scratch_of(path) if shared else path.with_name(path.name + SCRATCH)
    with writing(path):
        scratch.write_text(text, encoding="utf-8", errors="backslashreplace")
        os.replace(scratch, path)


def scratch_of(path: Path) -> Path:
    """Where this process alone writes what is to replace ``path``; of the same kind."""
    own = f"{socket.gethostname()}-{os.getpid()}"
    return path.with_name(f"{path.stem}-{own}{SCRATCH}{path.suffix}")


def append(path: Path, line: str) -> None:
    """Adds a line, which ends with a newline.

    Raises:
      NotWritten: a full disk, or a folder that cannot be written.
    """
    with writing(path), path.open("a", encoding="utf-8") as file:
        file.write(line)


def drop_cut_line(path: Path) -> None:
    """Takes off a last line that has no end: its process died over it.

    Raises:
      NotWritten: a folder that cannot be written.
    """
    with writing(path):
        text = path.read_bytes() if path.exists() else b""
        whole = text.rfind(b"\n") + 1
        if whole < len(text):
            os.truncate(path, whole)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Makes one line of what the system says when ``path`` cannot be written.

    Raises:
      NotWritten: in place of an ``OSError``, or of an ``InputError`` made of one.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise NotWritten(
            f"{path} cannot be written: {reason}; {mend_of(error)}"
        ) from error
    except InputError as error:
        if not isinstance(error.__cause__, OSError):
            raise
        raise NotWritten(f"{error}; {mend_of(error.__cause__)}") from error


def mend_of(error: OSError) -> str:
    """What to do where something of a run could not be written."""
    rights = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
    return _MEND_OTHERWISE if rights else _MEND


def check_folder_name(path: Path) -> None:
    """Refuses a name for a folder to be that ends as a file's does.

    Raises:
      InputError: it would be taken for the file that it is not.
    """
    ending = path.suffix.lower()
    if ending in _OF_FILES:
        raise InputError(
            f"{path} ends in {ending}, and a folder is written: leave the ending out"
        )


def check_output(
    path: Path,
    *,
    overwrite: bool,
    ours: Callable[[Path], bool] | None = None,
    endings: tuple[str, ...] = (),
) -> None:
    """Refuses, before any work is done, an output that cannot or may not be written.

    Args:
      path: a file to be, or with ``ours`` a folder.
      overwrite: whether one that stands there may be replaced.
      ours: whether a folder is one that this command made; no other is ever replaced,
        unless it is empty.
      endings: those that the file may have; another would name what it does not hold.

    Raises:
      InputError: it exists, is of another kind, or its place cannot be written.
    """
    folder = ours is not None
    ending = path.suffix.lower()
    if folder:
        check_folder_name(path)
    if path.is_dir() != folder and path.exists():
        wanted, other = ("folder", "file") if folder else ("file", "folder")
        raise InputError(f"{path} is a {other}: name a {wanted} as --output")
    if endings and ending not in endings:
        raise InputError(
            f"{path} ends in {ending or 'nothing'}: give an --output in "
            f"{' or '.join(endings)}"
        )
    if path.exists() and not (folder and not any(path.iterdir())):
        if not overwrite:
            raise InputError(
                f"{path} exists: add --overwrite to replace it, or choose another"
            )
        if ours is not None and not ours(path):
            raise InputError(f"{path} holds other files: choose another --output")
    check_place(path)


def check_place(path: Path, mend: str | None = None) -> None:
    """Refuses a path in whose folder, which is made, no file can be written.

    Args:
      path: of what shall be there.
      mend: what the error tells to do.

    Raises:
      InputError: of what the system says.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise _unwritable(path, error, mend) from error


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A scratch file to fill, which becomes ``path`` when all went well.

    Raises:
      InputError: it cannot be written, or the disk is full.
    """
    try:
        with _scratch_folder(path) as folder:
            yield folder / path.name
            os.replace(folder / path.name, path)
    except OSError as error:
        raise _unwritable(path, error) from error


@contextlib.contextmanager
def whole_folder(
    final: Path,
    *,
    keep: Callable[[Path], bool] = lambda there: False,
    mend: str | None = None,
) -> Iterator[Path]:
    """A new folder to fill, which takes the place of ``final`` when all went well.

    What a killed process left of the same is removed once nothing in it has changed for
    ten minutes; nothing of a process that still runs on this machine is, nor any other
    folder, whatever its name.

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
        with _scratch_folder(final) as scratch:
            new = scratch / "new"
            new.mkdir()
            yield new
            if final.exists() and keep(final):
                return
            if final.exists():
                os.replace(final, scratch / "old")
            os.replace(new, final)
    except OSError as error:
        raise _unwritable(final, error, mend) from error


@contextlib.contextmanager
def _scratch_folder(beside: Path) -> Iterator[Path]:
    own = f"{_filling(beside)}{_machine()}-{os.getpid()}-"
    with tempfile.TemporaryDirectory(
        prefix=own, dir=beside.parent, ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


def _filling(final: Path) -> str:
    """How the names of all folders begin that are filled to become ``final``."""
    return f".fgu-new-{_digest(final.name, 16)}-"


def _machine() -> str:
    return _digest(socket.gethostname(), 8)


def _digest(name: str, digits: int) -> str:
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:digits]


def _remove_leftovers(final: Path) -> None:
    for left in final.parent.glob(f"{_filling(final)}*"):
        made = _FILLED.fullmatch(left.name)
        if made is None or (made[1] == _machine() and _runs(int(made[2]))):
            continue
        with contextlib.suppress(OSError):  # its own process may be removing it
            newest = max(p.lstat().st_mtime for p in (left, *left.rglob("*")))
            if newest < time.time() - _STALE_SECONDS:
                shutil.rmtree(left, ignore_errors=True)


def _runs(process: int) -> bool:
    """Whether a process of this machine runs; where that cannot be asked, it may."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)  # sends nothing
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _unwritable(path: Path, error: OSError, mend: str | None = None) -> InputError:
    why = f"cannot be written: {error.strerror or error}"
    return InputError(f"{str(path)!r} {why}; {mend}" if mend else f"{path} {why}")
