"""Writes files in PyTorch's formats instruction by instruction, right ones and wrong.

The pickles are put together by hand, so that a test can say what ``torch.save`` never
would: a view beyond its storage, a size that is a lie, a name that is code.
"""

import io
import pickle
import struct
import zipfile
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

TYPES = {"f4": "Float", "f8": "Double", "f2": "Half", "i8": "Long", "u1": "Byte"}


class View(NamedTuple):
    """A tensor record; what is not given is what the array has."""

    array: np.ndarray
    offset: int = 0
    shape: tuple[int, ...] | None = None
    strides: tuple[int, ...] | None = None
    count: int | None = None


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def integer(value: int) -> bytes:
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def integers(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(integer, values)) + b"t"


def tensor(key: str, view: View, legacy: bool) -> bytes:
    kind = TYPES[view.array.dtype.str[1:]]
    count = view.array.size if view.count is None else view.count
    shape = view.array.shape if view.shape is None else view.shape
    strides = view.strides
    if strides is None:
        strides = tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))
    storage = (
        b"(" + text("storage") + f"ctorch\n{kind}Storage\n".encode() + text(key)
    ) + (text("cpu") + integer(count) + (b"N" if legacy else b"") + b"tQ")
    hooks = b"ccollections\nOrderedDict\n)R"
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + storage
        + integer(view.offset)
        + integers(shape)
        + integers(strides)
        + b"\x89"
        + hooks
        + b"tR"
    )


def state_pickle(views: Mapping[str, View], legacy: bool = False) -> bytes:
    items = [
        text(name) + tensor(str(i), view, legacy)
        for i, (name, view) in enumerate(views.items())
    ]
    return b"\x80\x02}(" + b"".join(items) + b"u."


def zip_file(
    views: Mapping[str, View],
    data_pickle: bytes | None = None,
    compression: int = zipfile.ZIP_STORED,
) -> bytes:
    """The format since PyTorch 1.6."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        content = state_pickle(views) if data_pickle is None else data_pickle
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/byteorder", "little")
        for i, view in enumerate(views.values()):
            archive.writestr(f"archive/data/{i}", view.array.tobytes())
        archive.writestr("archive/version", "3\n")
    return buffer.getvalue()


def legacy_file(views: Mapping[str, View], data_pickle: bytes | None = None) -> bytes:
    """The format before that."""
    content = state_pickle(views, True) if data_pickle is None else data_pickle
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    head = [0x1950A86A20F9469CFC6C, 1001, system]
    parts = [pickle.dumps(value, 2) for value in head]
    parts += [content, pickle.dumps([str(i) for i in range(len(views))], 2)]
    for view in views.values():
        parts += [struct.pack("<q", view.array.size), view.array.tobytes()]
    return b"".join(parts)
