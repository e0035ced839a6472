"""Pictures decoded and resized, beside a plain Pillow loop."""

import dataclasses
import io

import numpy as np
from PIL import Image

from fgu_jax.bench.measure import Work, close, same_as
from fgu_jax.bench.sizes import Decode
from fgu_jax.data import ImageSet

_HEIGHT, _WIDTH = 128, 64  # as on Market-1501


@dataclasses.dataclass(frozen=True)
class _InMemory:
    files: tuple[bytes, ...]

    def read(self, key: str | int) -> bytes:
        return self.files[int(key)]


def works(sizes: Decode) -> list[Work]:
    """One row."""
    rng = np.random.default_rng(9)
    files = tuple(_jpeg(rng) for _ in range(sizes.images))
    rows = range(sizes.images)
    images = ImageSet(
        names=tuple(f"{row}.jpg" for row in rows),
        keys=tuple(rows),
        source=_InMemory(files),
    )

    def plain():
        out = []
        for file in files:
            with Image.open(io.BytesIO(file)) as image:
                size = (sizes.width, sizes.height)
                resized = image.convert("RGB").resize(size, Image.Resampling.BILINEAR)
            out.append(np.asarray(resized))
        return np.stack(out)

    def check(results):
        # Pictures that become half as large or less are shrunk while they are decoded.
        shrunk = 2 * sizes.height <= _HEIGHT and 2 * sizes.width <= _WIDTH
        for name, other in results.items():
            off = np.abs(results["fgu_jax"].astype(int) - other).mean()
            close(off, 0, f"pixels of {name}", atol=3.0 if shrunk else 0.0)
        return same_as(results, "pixels")

    return [
        Work(
            what=f"{sizes.images:,} JPEGs of {_HEIGHT} x {_WIDTH} to {sizes.height} x "
            f"{sizes.width}",
            run=lambda: images.decode(sizes.height, sizes.width),
            rivals={"Pillow, one after another": plain},
            check=check,
            moved=3.0 * sizes.images * sizes.height * sizes.width,
            compiles=False,
            items=sizes.images,
            notes=("the floor writes the result; entropy decoding has none",),
        )
    ]


def _jpeg(rng: np.random.Generator) -> bytes:
    """Smooth shapes with some grain: about as many bytes as a photograph."""
    coarse = rng.integers(0, 256, (8, 4, 3), np.uint8)
    smooth = Image.fromarray(coarse).resize((_WIDTH, _HEIGHT), Image.Resampling.BICUBIC)
    grain = rng.normal(0, 6, (_HEIGHT, _WIDTH, 3))
    pixels = np.clip(np.asarray(smooth) + grain, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()
