"""What the pictures of a set look like, by a few of them: size, shape, deep values."""

from collections import Counter

import numpy as np

from fgu_jax.data.decode import grey_scale, open_picture, upright_size
from fgu_jax.data.images import ImageSet
from fgu_jax.data.layouts.found import quoted

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
    said += _over_the_edge(images)
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


def _over_the_edge(images: ImageSet) -> list[str]:
    """A line of boxes that are in part outside their picture, where some are."""
    over, looked = [], 0
    for row in _spread(images, _MEASURED) if images.boxes is not None else []:
        box = images.box(row)
        size = None if box is None else _size(images, row)
        if size is None or box is None:
            continue
        looked += 1
        inside = min(box[:2]) >= 0 and box[2] <= size[1] and box[3] <= size[0]
        if not inside:
            over.append(images.names[row])
    if not over:
        return []
    return [
        f"{len(over)} of {looked} boxes looked at reach over the edge of their "
        f"picture, and the part inside is taken, such as of {quoted(min(over))}"
    ]


def _size(images: ImageSet, row: int) -> tuple[int, int] | None:
    """Height and width of a whole picture; None where it cannot be read."""
    try:
        with open_picture(images.read(row)) as picture:
            return upright_size(picture)[::-1]
    except Exception:  # whoever decodes it says why it cannot be
        return None


def _spread(images: ImageSet, most: int) -> list[int]:
    """Rows of some images, spread over all."""
    return sorted({len(images) * k // most for k in range(most)})[: len(images)]


def _looked_at(
    images: ImageSet, most: int
) -> tuple[list[tuple[int, int]], Counter[str]]:
    """Height and width of a few pictures or boxes; kinds of deep grey, counted."""
    sizes: list[tuple[int, int]] = []
    deep: Counter[str] = Counter()
    for row in _spread(images, most):
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
