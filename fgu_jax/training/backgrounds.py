"""Images grouped by what is behind the individual: a stand-in for unknown cameras.

Pictures of one place share much that is not of whom they show. Where no camera is
known, the colours at the left and right edges say which pictures do: to take out their
mean, as that of a camera is, brings the pictures of one individual together.
"""

import itertools
from collections.abc import Iterator

import numpy as np

from fgu_jax.clustering.kmeans import kmeans
from fgu_jax.data import Images
from fgu_jax.progress import Progress

_EDGE = 8  # an edge is this part of the width, on either side
_HEIGHTS = 3  # parts of the height, each with colours of its own
_LEVELS = 6  # of red, of green, of blue
_BLOCK = 512  # images described at once
_LEARNT = 16_384  # images that the groups are learnt from
_IMAGES_A_GROUP = 8  # in the mean; fewer are hardly more than the individuals on them


def most_groups(num_images: int) -> int:
    """So many groups that each has 8 images in the mean, one at least.

    >>> most_groups(100), most_groups(3)
    (12, 1)
    """
    return max(1, num_images // _IMAGES_A_GROUP)


def by_background(
    images: Images, count: int, *, seed: int, progress: Progress | None = None
) -> np.ndarray:
    """Int32 [N]: the group of each image.

    Args:
      images: uint8 [N, H, W, 3].
      count: groups, 1 to N; k-means of ``edge_colours`` makes them.
      seed: of k-means.
      progress: called with (done, total, what).

    >>> dark, light = np.zeros((2, 6, 8, 3), np.uint8), np.full((1, 6, 8, 3), 250, "u1")
    >>> by_background(np.concatenate([dark, light]), 2, seed=0).tolist()
    [0, 0, 1]
    """
    total = len(images)

    def blocks(first: int, last: int) -> Iterator[np.ndarray]:
        for start in range(first, last, _BLOCK):
            stop = min(start + _BLOCK, last)
            yield edge_colours(np.asarray(images[start:stop]))
            if progress:
                progress(stop, total, "backgrounds")

    # Rows are in the order of a hash of their names: the first are any of them.
    learnt = min(_LEARNT, total)
    labels, centres = kmeans(np.concatenate([*blocks(0, learnt)]), count, seed=seed)
    lengths = (centres**2).sum(axis=1)
    nearest = [  # a block at a time: colours of all would be 2.6 kB an image
        np.argmin(lengths - 2 * colours @ centres.T, axis=1)
        for colours in blocks(learnt, total)
    ]
    return np.concatenate([labels, *nearest]).astype(np.int32)


def edge_colours(images: np.ndarray) -> np.ndarray:
    """Float32 [B, 3 * 216], unit rows: how often a colour is at the edges.

    Each third of the height has a histogram of 6 x 6 x 6 colours of the eighth of the
    image at its left and the eighth at its right; roots of shares, so that the product
    of two rows is their mean Bhattacharyya coefficient.

    Args:
      images: uint8 [B, H, W, 3], 3 pixels high or more.
    """
    height, width = images.shape[1:3]
    edge = max(1, width // _EDGE)
    sides = np.concatenate([images[:, :, :edge], images[:, :, -edge:]], axis=2)
    level = sides.astype(np.int32) * _LEVELS // 256
    colour = (level[..., 0] * _LEVELS + level[..., 1]) * _LEVELS + level[..., 2]
    bounds = np.linspace(0, height, _HEIGHTS + 1).astype(int)
    parts = [
        _histograms(colour[:, low:high].reshape(len(images), -1))
        for low, high in itertools.pairwise(bounds)
    ]
    return np.concatenate(parts, axis=1) / np.sqrt(np.float32(_HEIGHTS))


def _histograms(colour: np.ndarray) -> np.ndarray:
    """Float32 [B, 216]: roots of the share of each colour of int [B, P]."""
    colours = _LEVELS**3
    row = np.arange(len(colour))[:, None] * colours
    counts = np.bincount((row + colour).ravel(), minlength=len(colour) * colours)
    return np.sqrt(counts.reshape(-1, colours) / np.float32(colour.shape[1])).astype(
        np.float32
    )
