"""What the pictures of a set look like, by a few of them: size, shape, deep values."""

from collections import Counter

import numpy as np

from fgu_jax.data.decode import grey_scale, open_picture
from fgu_jax.data.images import ImageSet

_LOOKED_AT = 16


def describe_pictures(images: ImageSet) -> tuple[str, ...]:
    """A line of the middle picture's size, and one where grey has more than 8 bits.

    Args:
      images: in row order, which is one of a hash: those looked at are spread over it.
    """
    rows = sorted({len(images) * k // _LOOKED_AT for k in range(_LOOKED_AT)})
    sizes: list[tuple[int, int]] = []
    deep: Counter[str] = Counter()
    for row in rows[: len(images)]:
        try:
            with open_picture(images.read(row)) as picture:
                width, height = picture.size
                if picture.mode[0] in "IF":
                    deep[grey_scale(np.asarray(picture))[1]] += 1
        except Exception:  # whoever decodes it says why it cannot be
            continue
        box = images.box(row)
        if box is not None:
            width, height = round(box[2] - box[0]), round(box[3] - box[1])
        sizes.append((height, width))
    if not sizes:
        return ()
    height, width = sorted(sizes, key=lambda size: size[0] * size[1])[len(sizes) // 2]
    said = [f"the middle picture of {len(sizes)} is {height} high and {width} wide"]
    for kind, count in deep.items():
        said.append(f"{count} of {len(sizes)} pictures looked at hold {kind}: scaled")
    return tuple(said)
