"""Eleven basic colour terms: how much of each a colour is."""

import functools

import numpy as np

TERMS = (
    "black",
    "blue",
    "brown",
    "grey",
    "green",
    "orange",
    "pink",
    "purple",
    "red",
    "white",
    "yellow",
)

# A typical colour of each term, sRGB.
_TYPICAL = np.array(
    [
        [20, 20, 20],
        [40, 70, 170],
        [110, 70, 40],
        [128, 128, 128],
        [50, 130, 60],
        [235, 130, 40],
        [235, 150, 180],
        [120, 60, 140],
        [190, 35, 45],
        [240, 240, 240],
        [235, 215, 60],
    ]
)
_LEVELS = 32  # a channel's, in the table
_SPREAD = 20.0  # sigma, in CIELAB units


def color_terms(images: np.ndarray) -> np.ndarray:
    r"""Shares of the eleven terms in every pixel.

    In CIELAB, with :math:`p_k` a typical colour of term k and :math:`\sigma = 20`,

    .. math:: w_k = \exp\bigl(-\lVert x - p_k\rVert^2 / 2\sigma^2\bigr)
                    \Big/ \sum_j \exp\bigl(-\lVert x - p_j\rVert^2 / 2\sigma^2\bigr)

    They stand in for Color Names, whose table was learnt from pictures found by these
    terms and is not this project's to pass on: the same terms and width, 11, but
    neighbours in colour are neighbours in share by a formula.

    Args:
      images: uint8 [..., 3], sRGB; a channel is read in 32 levels.

    Returns:
      float32 [..., 11], 0 or more, summing to 1.

    Source: the terms are those of Berlin and Kay, 1969, and of van de Weijer et al.,
    IEEE Trans. Image Processing 18(7), 2009.

    >>> TERMS[int(color_terms(np.array([200, 30, 40], np.uint8)).argmax())]
    'red'
    """
    level = images.astype(np.int32) // (256 // _LEVELS)
    index = (level[..., 0] * _LEVELS + level[..., 1]) * _LEVELS + level[..., 2]
    return _table()[index]


@functools.cache
def _table() -> np.ndarray:
    """Float32 [32 ** 3, 11]: shares of the middle of each cell of sRGB."""
    middle = (np.arange(_LEVELS) + 0.5) * (256 / _LEVELS)
    colors = np.stack(np.meshgrid(middle, middle, middle, indexing="ij"), axis=-1)
    away = _lab(colors.reshape(-1, 1, 3)) - _lab(_TYPICAL[None].astype(float))
    exponent = -np.sum(away**2, axis=-1) / (2 * _SPREAD**2)
    weight = np.exp(exponent - exponent.max(axis=1, keepdims=True))
    return (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)


def _lab(srgb: np.ndarray) -> np.ndarray:
    """CIELAB of sRGB in 0..255, for white D65 (IEC 61966-2-1, CIE 15)."""
    share = srgb / 255
    linear = np.where(share > 0.04045, ((share + 0.055) / 1.055) ** 2.4, share / 12.92)
    matrix = np.array(
        [
            [0.4124, 0.3576, 0.1805],
            [0.2126, 0.7152, 0.0722],
            [0.0193, 0.1192, 0.9505],
        ]
    )
    xyz = linear @ (matrix / matrix.sum(axis=1, keepdims=True)).T
    root = np.where(
        xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29
    )
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)
