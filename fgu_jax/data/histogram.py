"""A striped colour histogram: what a network has to beat to have learnt anything."""

import numpy as np

from fgu_jax.errors import InputError


def color_histogram(
    images: np.ndarray, *, stripes: int = 6, bins: int = 8
) -> np.ndarray:
    """Unit-length colour histograms of horizontal stripes.

    In each stripe a joint histogram of HSV, with ``bins`` hues, ``bins // 2``
    saturations and ``bins // 2`` values; hue is weighed by nothing, and greys fall into
    the lowest saturations. Each stripe is divided by its pixels and its root taken
    (Hellinger), so that the Euclidean distance of features compares distributions and
    no large flat area rules. HSV rather than RGB, because a camera's gain then moves
    one axis only.

    Args:
      images: uint8 [N, H, W, 3], RGB.
      stripes: horizontal stripes of equal height, at most H.
      bins: hue bins, at least 2.

    Returns:
      float32 [N, stripes * bins * (bins // 2) ** 2], rows of unit length.

    Raises:
      InputError: another shape or type, or more stripes than rows of pixels.

    >>> red = np.zeros((1, 4, 2, 3), np.uint8); red[..., 0] = 255
    >>> features = color_histogram(red, stripes=2, bins=4)
    >>> features.shape, np.flatnonzero(features).tolist(), float(features.max())
    ((1, 32), [3, 19], 0.7071067690849304)
    """
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
        raise InputError(
            f"images are {images.dtype} {list(images.shape)}: give uint8 [N, H, W, 3]"
        )
    num, height, width, _ = images.shape
    if not 1 <= stripes <= height or bins < 2:
        raise InputError(
            f"stripes={stripes}, bins={bins} on images {height} pixels high: give 1 to "
            f"{height} stripes and at least 2 bins"
        )
    half = bins // 2
    size = bins * half * half
    stripe = np.arange(height) * stripes // height
    features = np.empty((num, stripes * size), np.float32)
    for row, image in enumerate(images):
        cell = _hsv_cells(image, bins, half) + (stripe * size)[:, None]
        counts = np.bincount(cell.ravel(), minlength=stripes * size)
        features[row] = np.sqrt(counts)
    pixels = np.repeat(np.bincount(stripe, minlength=stripes) * width, size)
    return features / np.sqrt(stripes * pixels, dtype=np.float32)


def _hsv_cells(image: np.ndarray, bins: int, half: int) -> np.ndarray:
    """The histogram cell of every pixel of uint8 [H, W, 3], int64 [H, W]."""
    rgb = image.astype(np.int32)
    value = rgb.max(-1)
    spread = value - rgb.min(-1)
    red, green, blue = np.moveaxis(rgb, -1, 0)
    safe = np.maximum(spread, 1)
    sixth = np.where(
        value == red,
        (green - blue) / safe,
        np.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    # Centred on the pure colours, so that red is not cut at 0 and 360 degrees.
    hue = np.floor(sixth * bins / 6 + 0.5).astype(np.int64) % bins
    saturation = spread * half // np.maximum(value, 1)
    saturation = np.minimum(saturation, half - 1)
    brightness = value * half // 256
    return (hue * half + saturation) * half + brightness
