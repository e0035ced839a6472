"""What all features made by hand begin with: a check, hues, a bump over pixels."""

import numpy as np

from fgu_jax.errors import InputError


def check_images(images: np.ndarray) -> None:
    """Refuses what is not uint8 [N, H, W, 3]."""
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
        raise InputError(
            f"images are {images.dtype} {list(images.shape)}: give uint8 [N, H, W, 3]"
        )


def hue(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hue of pixels [..., 3] in sixths of a turn, -1..5, their value and their spread.

    The value is the largest of the three, the spread what it is above the smallest;
    grey has hue 0.

    >>> [part.tolist() for part in hue(np.array([[9, 0, 3], [2, 2, 2]]))]
    [[-0.3333333333333333, 0.0], [9, 2], [9, 0]]
    """
    value = rgb.max(-1)
    spread = value - rgb.min(-1)
    red, green, blue = np.moveaxis(rgb, -1, 0)
    safe = np.where(spread > 0, spread, 1)
    sixth = np.where(
        value == red,
        (green - blue) / safe,
        np.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    return sixth, value, spread


def bump(count: int, deviation: float) -> np.ndarray:
    """A Gaussian over the middles of pixels, its deviation a share of them all."""
    away = (np.arange(count) + 0.5) / count - 0.5
    return np.exp(-0.5 * (away / deviation) ** 2)
