"""Small folders of published layouts, written by the tests."""

import io
from typing import Any

from PIL import Image

from fgu_jax.data import load_dataset


def load(*arguments: Any, **options: Any) -> Any:
    """``load_dataset``, whose parts may be None."""
    return load_dataset(*arguments, **options)


def jpeg(value=100):
    file = io.BytesIO()
    Image.new("RGB", (4, 8), (value % 256, 50, 50)).save(file, "JPEG")
    return file.getvalue()


def fill(root, names):
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(number) if "." in name else b"")
    return root


MARKET = (
    *[
        f"bounding_box_train/{i:04d}_c{c}s1_000151_00.jpg"
        for i in (2, 7)
        for c in (1, 3)
    ],
    "bounding_box_train/0007_c3s1_000176_00.jpg.jpg",
    *[f"query/{i:04d}_c{c}s1_000151_00.jpg" for i in (1, 3) for c in (1, 2)],
    *[
        f"bounding_box_test/{i:04d}_c{c}s1_000176_01.jpg"
        for i in (1, 3)
        for c in (1, 2)
    ],
    "bounding_box_test/0000_c1s1_000151_01.jpg",
    "bounding_box_test/-1_c1s1_000401_03.jpg",
)
