"""PyTorch's ``.pth`` files to NumPy arrays, without PyTorch and without unpickling."""

import io
import mmap
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fgu_jax.errors import InputError
from fgu_jax.networks.weights import pickled

# First integers of the format before PyTorch 1.6.
_LEGACY_MAGIC, _LEGACY_VERSION = 0x1950A86A20F9469CFC6C, 1001
# Under these keys training scripts keep the network beside their own state.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
_MAX_ENTRIES = 200_000
_DEEPEST = 4  # an optimiser's state.0.exp_avg


def read_pth(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a ``.pth`` file by name, as read-only views of the mapped file.

    Both of PyTorch's formats are read: zip (since 1.6) and the one before it. The
    tensors lie at the top, or under ``state_dict``, ``model_state_dict``, ``model`` or
    ``net``, or in other dicts, whose keys then stand before their names; ``module.`` of
    a parallel network is taken off. What is no tensor is left out. The file is mapped,
    so that reading costs its pages and no copy.

    Raises ``InputError``, naming the file, where it is damaged or no such file, and
    where its pickle asks for anything but tensors: no code of it is run.
    """
    try:
        with open(path, "rb") as file:
            memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    try:
        if memory[:4] == b"PK\x03\x04":
            value, blocks = _read_zip(path, memory)
        else:
            value, blocks = _read_legacy(memory)
        return _arrays(value, blocks, memory)
    except InputError as error:
        raise InputError(f"{path} is refused: {error}") from None
    except Exception as error:
        # A damaged file can break the readers of the standard library anywhere.
        said = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{path} is damaged or not a PyTorch file ({said}): get it again"
        ) from None


def _entry_start(memory: mmap.mmap, info: zipfile.ZipInfo) -> int:
    """Where the bytes of an entry begin; its local header gives the last lengths."""
    header = memory[info.header_offset : info.header_offset + 30]
    signature, name, extra = struct.unpack("<4s22xHH", header)
    start = info.header_offset + 30 + name + extra
    if signature != b"PK\x03\x04" or start + info.file_size > len(memory):
        raise ValueError(f"entry {info.filename!r} lies outside the file")
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
        raise ValueError(
            f"entry {info.filename!r} is compressed, as PyTorch's never is"
        )
    return start


def _read_zip(path: Path, memory: mmap.mmap) -> tuple[Any, dict[str, tuple[int, int]]]:
    """The pickled value, and of each storage its first byte and length."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    if len(entries) > _MAX_ENTRIES:
        raise ValueError(f"it has {len(entries)} entries")
    by_name = {info.filename: info for info in entries}
    roots = [name[: -len("data.pkl")] for name in by_name if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise ValueError(f"it has {len(roots)} entries called data.pkl, not one")
    root = roots[0]

    def content(name: str) -> tuple[int, int]:
        info = by_name[name]
        start = _entry_start(memory, info)
        with memoryview(memory) as view, view[start : start + info.file_size] as block:
            if zlib.crc32(block) != info.CRC:
                raise ValueError(f"the checksum of entry {name!r} does not match")
        return start, info.file_size

    if f"{root}byteorder" in by_name:
        start, size = content(f"{root}byteorder")
        if memory[start : start + size] != b"little":
            raise ValueError("it was written on a big-endian machine")
    start, size = content(f"{root}data.pkl")
    value = pickled.read(io.BytesIO(memory[start : start + size]))
    prefix = f"{root}data/"
    blocks = {n[len(prefix) :]: content(n) for n in by_name if n.startswith(prefix)}
    return value, blocks


def _read_legacy(memory: mmap.mmap) -> tuple[Any, dict[str, tuple[int, int]]]:
    """As :func:`_read_zip`; a storage here begins with its count of numbers."""
    if pickled.read(memory) != _LEGACY_MAGIC or pickled.read(memory) != _LEGACY_VERSION:
        raise ValueError("it begins as no format of torch.save does")
    if not pickled.read(memory).get("little_endian"):
        raise ValueError("it was written on a big-endian machine")
    value = pickled.read(memory)
    storages = {t.storage.key: t.storage for t in _tensors(value).values()}
    keys = pickled.read(memory)
    if not all(isinstance(key, str) for key in keys):
        raise ValueError("a storage's key is no text")
    if not set(storages) <= set(keys):
        raise ValueError("it lacks some of its storages")
    blocks = {}
    for key in keys:
        (count,) = struct.unpack("<q", memory.read(8))
        if key not in storages:
            raise ValueError(f"storage {key!r} belongs to no tensor of the state dict")
        if count != storages[key].size:
            raise ValueError(f"storage {key!r} has {count} numbers")
        size = count * storages[key].dtype.itemsize
        blocks[key] = (memory.tell(), size)
        memory.seek(min(memory.tell() + size, len(memory)))
    return value, blocks


def _tensors(value: Any) -> dict[str, pickled.Tensor]:
    """The state dict in what was pickled."""
    if not isinstance(value, Mapping):
        raise InputError(f"it holds a {type(value).__name__}, not a dict of tensors")
    beside: dict[str, pickled.Tensor] = {}
    for key in _WRAPPERS:
        if isinstance(value.get(key), Mapping):
            beside |= _below({k: v for k, v in value.items() if k != key}, "", 0)
            value = value[key]
    found = {
        name.removeprefix("module."): tensor
        for name, tensor in _below(value, "", 0).items()
    }
    if not found:
        raise InputError("it holds no tensors, at the top or under state_dict or model")
    return beside | found


def _below(value: Any, prefix: str, depth: int) -> dict[str, pickled.Tensor]:
    """Tensors in dicts within dicts, as scripts keep students, teachers, optimisers.

    Names are joined by dots.
    """
    found: dict[str, pickled.Tensor] = {}
    for key, each in value.items():
        if isinstance(each, pickled.Tensor):
            found[f"{prefix}{key}"] = each
        elif isinstance(each, Mapping) and depth < _DEEPEST:
            found |= _below(each, f"{prefix}{key}.", depth + 1)
    return found


def _arrays(
    value: Any, blocks: Mapping[str, tuple[int, int]], memory: mmap.mmap
) -> dict[str, np.ndarray]:
    arrays = {}
    for name, tensor in _tensors(value).items():
        storage, item = tensor.storage, tensor.storage.dtype.itemsize
        start, size = blocks[storage.key]
        if size < storage.size * item or start + size > len(memory):
            raise ValueError(f"the storage of {name!r} is cut short")
        arrays[name] = np.ndarray(
            tensor.shape,
            storage.dtype,
            memory,
            start + tensor.offset * item,
            tuple(s * item for s in tensor.strides),
        )
    return arrays
