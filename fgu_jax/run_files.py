"""The small files of a run: replaced whole, or longer by a line."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from fgu_jax.errors import GO_ON, InputError, NotWritten

SCRATCH = ".new"


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
        raise NotWritten(f"{path} cannot be written: {reason}; {_MEND}") from error
    except InputError as error:
        if not isinstance(error.__cause__, OSError):
            raise
        raise NotWritten(f"{error}; {_MEND}") from error


_MEND = f"make room and {GO_ON}"
