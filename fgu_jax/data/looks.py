"""What the pictures of a set look like, by a few of them: size, shape, deep values."""

from collections import Counter

import numpy as np

from fgu_jax.data.decode import grey_scale, open_picture, upright_size
from fgu_jax.data.images import ImageSet

_LOOKED_AT = 16
_MEASURED = 128  # of which no deep value is asked, but all are read


def describe_pictures(images: ImageSet) -> tuple[str, ...]:
    """A line of the middle picture's size, and one where grey has more than 8 bits.

    Args:
      images: in row order, which is one of a hash: those looked at are spread over it.
    """
    sizes, deep = _looked_at(images, _LOOKED_AT)
    if not sizes:
        return ()
    height, width = sorted(sizes, key=lambda size: size[0] * size[1])[len(sizes) // 2]
    said = [f"the middle picture of {len(sizes)} is {height} high and {width} wide"]
    for kind, count in deep.items():
        said.append(f"{count} of {len(sizes)} pictures looked at hold {kind}: scaled")
    return tuple(said)


def proportions(images: ImageSet) -> float | None:
    """How many times as high as wide the middle picture of some is.

    None where none can be read.
    """
    sizes, _ = _looked_at(images, _MEASURED)
    ratios = [height / width for height, width in sizes if height and width]
    return float(np.median(ratios)) if ratios else None


def _looked_at(
    images: ImageSet, most: int
) -> tuple[list[tuple[int, int]], Counter[str]]:
    """Height and width of a few pictures or boxes; kinds of deep grey, counted."""
    sizes: list[tuple[int, int]] = []
    deep: Counter[str] = Counter()
    for row in sorted({len(images) * k // most for k in range(most)})[: len(images)]:
        try:
            with open_picture(images.read(row)) as picture:
                width, height = upright_size(picture)
                if picture.mode[0] in "IF":
                    deep[grey_scale(np.asarray(picture))[1]] += 1
        except Exception:  # whoever decodes it says why it cannot be
            continue
        box = images.box(row)
        if box is not None:
            width, height = round(box[2] - box[0]), round(box[3] - box[1])
        sizes.append((height, width))
    return sizes, deep
