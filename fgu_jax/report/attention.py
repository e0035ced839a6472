"""What each patch head attends to: the nearest neighbours of an image's patches."""

import numpy as np

from fgu_jax.report.data import ReportData
from fgu_jax.report.sheet import Cell, Mark, draw_blocks
from fgu_jax.report.style import Picture

ANCHORS = 4
NEAREST = 3


def nearest_patches(patches: np.ndarray, row: int, count: int) -> np.ndarray:
    """Rows of the nearest patches in other images, int [U, count], nearest first.

    Args:
      patches: float [U, N, d], unit rows: the largest product is the nearest.
      row: of the image asked about.
      count: at most N - 1.

    >>> patches = np.array([[[1.0, 0.0], [0.0, 1.0], [0.8, 0.6]]])
    >>> nearest_patches(patches, 0, 2).tolist()
    [[2, 1]]
    """
    likeness = np.einsum("und,ud->un", patches, patches[:, row])
    likeness[:, row] = -np.inf
    return np.argsort(-likeness, axis=1, kind="stable")[:, :count]


def patch_neighbours(data: ReportData) -> Picture | None:
    """The sheet; ``None`` for a single image."""
    count = min(NEAREST, len(data.images) - 1)
    if count < 1:
        return None
    total = len(data.patches)
    labels = data.train_labels
    blocks, listing, agree, known = [], [], 0, 0
    for row in range(min(ANCHORS, len(data.images))):
        found = nearest_patches(data.patches, row, count)
        grid: list[list[Cell]] = []
        for place in range(count):
            cells = []
            for u in range(total):
                other = int(found[u, place])
                mark = Mark.NONE
                if labels is not None and -1 not in labels.identities[[row, other]]:
                    same = labels.identities[row] == labels.identities[other]
                    mark = Mark.RIGHT if same else Mark.WRONG
                    agree, known = agree + bool(same), known + 1
                stripe = (u / total, (u + 1) / total)
                cells.append(
                    Cell(data.images[other], mark, f"patch {u + 1}", stripe=stripe)
                )
            grid.append(cells)
        anchor = Cell(data.images[row], words="image", stripes=total)
        title = f"image {row + 1}, and the {count} nearest of each patch"
        blocks.append((title, anchor, grid))
        names = (
            f"patch {u + 1}: " + ", ".join(data.names[i] for i in found[u])
            for u in range(total)
        )
        listing.append((data.names[row], tuple(names)))

    caption = (
        f"For the first {len(blocks)} images by row, each patch's nearest patches in "
        "other training images. The frame is the stripe that the head averages; its "
        "features have seen more of the image than that."
    )
    if data.config.patch_generator == "affine":
        caption += " The affine windows start at these stripes and may have moved."
    alt = (
        f"{len(blocks)} images, each with {total} columns of the {count} images whose "
        "stripe is nearest."
    )
    if known:
        caption += (
            f" {Mark.RIGHT.value} solid outer border: the same identity. "
            f"{Mark.WRONG.value} dashed: another."
        )
        alt += f" {agree} of {known} neighbours have the image's identity."
    return Picture(
        stem="patches",
        title="What each patch head attends to",
        caption=caption,
        alt=alt,
        draw=lambda theme: draw_blocks(theme, blocks),
        is_sheet=True,
        listing=tuple(listing),
    )
