"""A zip or tar archive as a tree. Nothing in it is ever unpacked into files."""

import lzma
import os
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fgu_jax.data.decode import MAX_BYTES, UnreadableImage
from fgu_jax.data.kinds import START
from fgu_jax.data.layouts.tree import HIDDEN, FolderTree, Tree, is_hidden
from fgu_jax.errors import InputError

_DAMAGE = (
    *(zipfile.BadZipFile, zipfile.LargeZipFile, tarfile.TarError, zlib.error),
    *(lzma.LZMAError, EOFError, NotImplementedError, UnicodeError, ValueError),
)


@contextmanager
def open_tree(
    source: str | Path, *, scratch: Path, strip_top: bool = False
) -> Iterator[Tree]:
    """A folder, a zip or a tar archive (plain or compressed) as a tree.

    Args:
      source: its path.
      scratch: a folder on a disk with room, where a compressed tar is unpacked to a
        plain one for the time being; a compressed one cannot be read out of order.
      strip_top: name an archive's files below its one top folder, if it has but one,
        as they are named in that folder once somebody has unpacked it.

    Raises:
      InputError: not there, neither folder nor archive, damaged, encrypted; or it has
        absolute names, names with ``..``, links, or a name twice.
    """
    source = Path(source)
    if source.is_dir():
        yield FolderTree(source)
        return
    if not source.is_file():
        why = "is no plain file" if source.exists() else "is not there"
        raise InputError(f"source {str(source)!r} {why}: name an archive or a folder")
    try:
        if zipfile.is_zipfile(source):
            with zipfile.ZipFile(source) as opened:
                yield ZipTree(source, opened, strip_top)
        elif tarfile.is_tarfile(source):
            with _plain_tar(source, scratch) as file:
                yield TarTree(source, file, strip_top)
        else:
            raise InputError(
                f"source {str(source)!r} is neither a folder nor a zip or tar archive"
            )
    except InputError:
        raise
    except _DAMAGE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"archive {str(source)!r} is damaged: {reason}") from error


class ZipTree:
    """Members of a zip archive; a key is a member's name as the tree spells it."""

    def __init__(
        self, path: Path, opened: zipfile.ZipFile, strip_top: bool = False
    ) -> None:
        self.where = str(path)
        self._opened = opened
        files = []
        for member in opened.infolist():
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind == stat.S_IFLNK:
                raise _refused(path, member.filename, "is a link")
            if member.flag_bits & 1:
                raise _refused(
                    path, member.filename, "is encrypted: unpack it and name the folder"
                )
            if not member.is_dir():
                files.append((_spelt(member), member))
        self._members, self.left_out = _checked(path, files, strip_top)
        self.names = tuple(self._members)

    def start(self, key: str) -> bytes:
        try:
            with self._opened.open(self._members[key]) as file:
                return file.read(START)
        except _DAMAGE:
            return b""  # whoever reads it whole says why it cannot be

    def read(self, key: str | int) -> bytes:
        member = self._members[str(key)]
        _refuse_large(member.file_size)
        try:
            with self._opened.open(member) as file:
                data = file.read(MAX_BYTES + 1)
        except _DAMAGE as error:
            raise UnreadableImage(f"damaged in the archive: {error}") from error
        _refuse_large(len(data))
        return data


class TarTree:
    """Members of a plain tar archive, read by their offsets, from any thread."""

    def __init__(self, path: Path, file, strip_top: bool = False) -> None:
        self.where = str(path)
        self._file = file
        files = []
        with tarfile.open(fileobj=file, mode="r:") as opened:
            for member in opened:
                if member.islnk() or member.issym():
                    raise _refused(path, member.name, "is a link")
                if member.isfile() and not member.issparse():
                    at = (member.offset_data, member.size)
                    files.append((member.name.removeprefix("./"), at))
                elif not member.isdir():
                    raise _refused(path, member.name, "is no plain file")
        self._members, self.left_out = _checked(path, files, strip_top)
        self.names = tuple(self._members)

    def start(self, key: str) -> bytes:
        offset, size = self._members[key]
        return os.pread(self._file.fileno(), min(size, START), offset)

    def read(self, key: str | int) -> bytes:
        offset, size = self._members[str(key)]
        _refuse_large(size)
        data = os.pread(self._file.fileno(), size, offset)
        if len(data) < size:
            raise UnreadableImage("the archive ends in the middle of it")
        return data


@contextmanager
def _plain_tar(path: Path, scratch: Path) -> Iterator:
    with open(path, "rb") as file:
        try:
            tarfile.open(fileobj=file, mode="r:").close()
        except tarfile.ReadError:
            pass
        else:
            file.seek(0)
            yield file
            return
    with tempfile.TemporaryFile(dir=scratch) as plain:
        with _decompressed(path) as stream:
            shutil.copyfileobj(stream, plain, 1 << 20)
        plain.seek(0)
        yield plain


def _decompressed(path: Path):
    import bz2
    import gzip

    with open(path, "rb") as file:
        start = file.read(6)
    if start.startswith(b"\x1f\x8b"):
        return gzip.open(path)
    if start.startswith(b"BZh"):
        return bz2.open(path)
    return lzma.open(path)


def _spelt(member: zipfile.ZipInfo) -> str:
    """A member's name; without the UTF-8 flag its bytes are taken as Linux would."""
    if member.flag_bits & 0x800:
        return member.orig_filename
    try:
        raw = member.orig_filename.encode("cp437")
    except UnicodeEncodeError:
        return member.orig_filename
    return raw.decode("utf-8", "surrogateescape")


def _checked(
    path: Path, files: Iterable[tuple[str, object]], strip_top: bool
) -> tuple[dict, dict[str, str]]:
    """Members by name, and hidden ones apart, once every name stays inside."""
    members: dict = {}
    for name, member in files:
        if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[\\/]", name):
            raise _refused(path, name, "is an absolute name")
        if ".." in re.split(r"[\\/]", name):
            raise _refused(path, name, "leads out of the archive")
        if "\0" in name or name in ("", "."):
            raise _refused(path, name, "is no name")
        if name in members:
            raise _refused(path, name, "comes twice")
        members[name] = member
    left_out = {name: HIDDEN for name in members if _hidden(name)}
    members = {name: m for name, m in members.items() if name not in left_out}
    tops = {name.partition("/")[0] if "/" in name else "" for name in members}
    if strip_top and len(tops) == 1 and tops != {""}:
        members = {name.partition("/")[2]: m for name, m in members.items()}
    return members, left_out


def _refused(path: Path, name: str, why: str) -> InputError:
    return InputError(f"archive {str(path)!r}: {name!r} {why}; it is not read")


def _refuse_large(size: int) -> None:
    if size > MAX_BYTES:
        raise UnreadableImage(f"{size:,} bytes, over the limit of {MAX_BYTES:,}")


def _hidden(name: str) -> bool:
    return any(is_hidden(part) for part in name.split("/"))
