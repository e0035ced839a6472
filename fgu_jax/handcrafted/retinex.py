"""Multi-scale Retinex: a picture without most of its light."""

import functools

import numpy as np

_RESTORATION = 125.0  # alpha of Jobson et al.
_SIGMAS = (5.0, 20.0)
_SPREAD = 2.0


def retinex(images: np.ndarray) -> np.ndarray:
    r"""Multi-scale Retinex with colour restoration, stretched to 0..1.

    For each channel I of an image, with Gaussians G of several widths,

    .. math:: R = \log\Bigl(\alpha \frac{I}{\sum I}\Bigr)
                  \cdot \frac1S \sum_\sigma \bigl(\log I - \log(G_\sigma * I)\bigr)

    and then, with mean m and standard deviation d of all R of the image, linearly from
    m - 2 d .. m + 2 d to 0..1, what lies outside being cut: LOMO names an automatic
    gain and offset, not which. Gaussians are of 5 and 20 pixels as in LOMO, cut at the
    border and divided by what is left of them.

    Args:
      images: uint8 [N, H, W, 3], RGB.

    Returns:
      float32 [N, H, W, 3], in 0..1; a picture of one colour is 1/2 everywhere.

    Source: Jobson et al., IEEE Trans. Image Processing 6(7), 1997; Liao et al., CVPR
    2015, section 3.1.

    >>> retinex(np.full((1, 8, 8, 3), 90, np.uint8)).ravel()[:3].tolist()
    [0.5, 0.5, 0.5]
    """
    light = images.astype(np.float32) + 1
    _, height, width, _ = images.shape
    detail = np.zeros_like(light)
    for sigma in _SIGMAS:
        down, across = _gaussian(height, sigma), _gaussian(width, sigma)
        # [W, W] x [W, 3] within [H] rows, then [H, H] x [H, 3 W].
        blurred = np.matmul(across[None, None], light)
        blurred = np.matmul(down[None], blurred.reshape(len(images), height, -1))
        detail -= np.log(blurred).reshape(light.shape)
    detail /= len(_SIGMAS)
    logarithm = np.log(light)
    detail += logarithm
    total = np.log(light.sum(axis=-1, keepdims=True)) - np.float32(np.log(_RESTORATION))
    detail *= logarithm - total
    mean = detail.mean(axis=(1, 2, 3), keepdims=True, dtype=np.float64)
    deviation = detail.std(axis=(1, 2, 3), keepdims=True, dtype=np.float64)
    # What rounding leaves of a flat picture is no detail.
    flat = deviation < 1e-4
    scale = np.where(flat, 0, 0.5 / (_SPREAD * np.where(flat, 1, deviation)))
    stretched = (detail - mean.astype(np.float32)) * scale.astype(np.float32) + 0.5
    return np.clip(stretched, 0, 1, out=stretched)


@functools.lru_cache(maxsize=16)
def _gaussian(size: int, sigma: float) -> np.ndarray:
    """Float32 [size, size]: a row blurs one pixel, its weights summing to 1."""
    place = np.arange(size)
    away = place[:, None] - place[None, :]
    weight = np.exp(-0.5 * (away / sigma) ** 2)
    return (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)
