"""LOMO: local maximal occurrence of colours and textures, over three scales."""

import numpy as np

from fgu_jax.errors import InputError
from fgu_jax.handcrafted.occurrence import WINDOW, maximal_occurrence, num_windows
from fgu_jax.handcrafted.pictures import check_images, hue
from fgu_jax.handcrafted.retinex import retinex
from fgu_jax.handcrafted.siltp import PATTERNS, siltp

SCALES = 3
COLORS = 8**3  # bins of hue, saturation and value together
RADII = (3, 5)
LEAST = WINDOW << (SCALES - 1)  # pixels of either side: a window at the third scale
_CHUNK = 16  # images at once: what their histograms take stays in the cache
_GREY = (0.299, 0.587, 0.114)


def lomo(images: np.ndarray) -> np.ndarray:
    """Local maximal occurrence features.

    Joint HSV histograms (8 x 8 x 8) of the Retinex picture and SILTP histograms (tau
    0.3, radii 3 and 5) of the grey one, in windows of 10 x 10 pixels 5 apart; of the
    windows on one height the maximum of each bin; at three scales, each half the one
    before (mean of 2 x 2 pixels, an odd last row or column left out). Counts n become
    log(1 + n), the colour part and the texture part unit, then the whole.

    What the paper leaves open, and its authors' code does otherwise: Retinex runs once,
    at full size, and its picture is halved (the code halves the bins' numbers); SILTP
    of both radii is one part (the code makes each unit). The paper then learns a metric
    (XQDA), which needs identities: here features are compared as they are.

    Args:
      images: uint8 [N, H, W, 3], RGB; 128 x 48 in the paper.

    Returns:
      float32 [N, lomo_dim(H, W)], rows of unit length: 26,960 wide at 128 x 48.

    Raises:
      InputError: another shape or type, or pictures too small for the third scale.

    Source: Liao et al., Person Re-identification by Local Maximal Occurrence
    Representation and Metric Learning, CVPR 2015, section 3.

    >>> lomo(np.zeros((1, 128, 48, 3), np.uint8)).shape
    (1, 26960)
    """
    check_images(images)
    total, height, width, _ = images.shape
    features = np.empty((total, lomo_dim(height, width)), np.float32)
    for start in range(0, total, _CHUNK):
        part = images[start : start + _CHUNK]
        features[start : start + len(part)] = _features(part)
    return features


def lomo_dim(height: int, width: int) -> int:
    """Width of the features of pictures of this size.

    Raises:
      InputError: pictures too small for the third scale.

    >>> lomo_dim(128, 48)
    26960
    """
    if height < LEAST or width < LEAST:
        raise InputError(
            f"images are {height} x {width}: LOMO takes {LEAST} x {LEAST} or more, "
            "resize them"
        )
    rows = sum(num_windows(height >> scale) for scale in range(SCALES))
    return rows * (COLORS + len(RADII) * PATTERNS)


def _features(images: np.ndarray) -> np.ndarray:
    color = retinex(images)
    red, green, blue = (images[..., k].astype(np.float32) for k in range(3))
    grey = _GREY[0] * red + _GREY[1] * green + _GREY[2] * blue
    colors: list[np.ndarray] = []
    textures: list[np.ndarray] = []
    for scale in range(SCALES):
        if scale:
            color, grey = _halved(color), _halved(grey)
        colors.append(maximal_occurrence(_hsv_bins(color), COLORS))
        for radius in RADII:
            textures.append(maximal_occurrence(siltp(grey, radius=radius), PATTERNS))
    return np.concatenate([_unit(colors), _unit(textures)], axis=1) / np.float32(
        np.sqrt(2)
    )


def _unit(counts: list[np.ndarray]) -> np.ndarray:
    """Log counts as one row an image, of unit length; never all 0."""
    table = np.log1p(np.arange(WINDOW**2 + 1, dtype=np.float32))
    rows = [table[part.reshape(len(part), -1)] for part in counts]
    joined = np.concatenate(rows, axis=1)
    return joined / np.linalg.norm(joined, axis=1, keepdims=True)


def _halved(pictures: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels of [N, H, W, ...]."""
    height, width = (size - size % 2 for size in pictures.shape[1:3])
    even = pictures[:, :height, :width]
    rows = even[:, ::2] + even[:, 1::2]
    return (rows[:, :, ::2] + rows[:, :, 1::2]) / 4


def _hsv_bins(color: np.ndarray) -> np.ndarray:
    """Bin of every pixel of float [N, H, W, 3] in 0..1: int32 in 0..511."""
    sixth, value, spread = hue(color)
    saturation = spread / np.where(value > 0, value, 1)
    bins = np.minimum((sixth % 6 * (8 / 6)).astype(np.int32), 7)
    for share in (saturation, value):
        bins = bins * 8 + np.minimum((share * 8).astype(np.int32), 7)
    return bins
