"""Small datasets as folders, zip and tar files."""

import io
import tarfile
import zipfile
from typing import Any

import numpy as np
from PIL import Image

from fgu_jax.data import load_dataset


def load(*arguments: Any, **options: Any) -> Any:
    """``load_dataset``, whose parts may be None."""
    return load_dataset(*arguments, **options)


def picture(value, kind="JPEG"):
    file = io.BytesIO()
    Image.new("RGB", (4, 8), (value * 9 % 256, 50, 50)).save(file, kind)
    return file.getvalue()


MARKET = {
    f"Market-1501-v15.09.15/{name}": picture(i)
    for i, name in enumerate(
        (
            *[f"bounding_box_train/{i:04d}_c1s1_000151_00.jpg" for i in range(1, 9)],
            "bounding_box_train/0009_c2s1_000151_00.jpg.jpg",
            *[f"query/{i:04d}_c1s1_000151_00.jpg" for i in (11, 12)],
            *[f"bounding_box_test/{i:04d}_c2s1_000151_00.jpg" for i in (11, 12)],
            "bounding_box_test/0000_c1s1_000151_01.jpg",
            "bounding_box_test/-1_c1s1_000401_03.jpg",
        )
    )
} | {
    "Market-1501-v15.09.15/bounding_box_test/Thumbs.db": b"x",
    "__MACOSX/bounding_box_train/._0001_c1s1_000151_00.jpg": b"x",
}


BIRDS = {
    "birds/owl, old/east/1.jpg": picture(1),
    "birds/owl, old/west/1.png": picture(2, "PNG"),
    "birds/z\u00e9bu/east/1.webp": picture(3, "WEBP"),
    "birds/z\u00e9bu/east/2.bmp": picture(4, "BMP"),
    "birds/read me.txt": b"x",
}


def unpacked(folder, files):
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def zipped(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def tarred(path, files):
    mode: Any = {".gz": "w:gz", ".xz": "w:xz", ".bz2": "w:bz2"}.get(path.suffix, "w")
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo("./" + name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def assert_same(got, want):
    for split in ("train", "query", "gallery"):
        a, b = getattr(got, split), getattr(want, split)
        assert a.names == b.names
        assert [a.read(i) for i in range(len(a))] == [b.read(i) for i in range(len(b))]
        a, b = getattr(got, f"{split}_labels"), getattr(want, f"{split}_labels")
        np.testing.assert_array_equal(a.identities, b.identities)
        np.testing.assert_array_equal(a.cameras, b.cameras)
    assert got.identity_names == want.identity_names
