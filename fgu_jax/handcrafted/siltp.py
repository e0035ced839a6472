"""Scale-invariant local ternary patterns: a texture that light does not change."""

import numpy as np

from fgu_jax.errors import InputError

PATTERNS = 81  # 3 values of 4 neighbours


def siltp(grey: np.ndarray, *, radius: int, tau: float = 0.3) -> np.ndarray:
    r"""Pattern of every pixel against its four neighbours at a distance.

    .. math:: s_k = \begin{cases} 1 & I_k > (1 + \tau) I_c \\
                                  2 & I_k < (1 - \tau) I_c \\
                                  0 & \text{else} \end{cases}
              \qquad \mathrm{SILTP} = \sum_{k=0}^{3} s_k\, 3^k

    with neighbours right, up, left and down of the pixel; past the border the outermost
    pixel repeats. A brightness that multiplies the whole picture changes nothing.

    Args:
      grey: float [N, H, W], 0 or more.
      radius: distance of the neighbours in pixels, 1 or more.
      tau: tolerance, 0 or more and below 1.

    Returns:
      uint8 [N, H, W], in 0..80.

    Raises:
      InputError: another shape, a radius or tau out of its range.

    Source: Liao et al., CVPR 2010, eq (2); Liao et al., CVPR 2015, section 3.2.

    >>> siltp(np.array([[[1.0, 1.0, 2.0]]]), radius=1)[0, 0].tolist()
    [0, 1, 18]
    """
    if grey.ndim != 3:
        raise InputError(f"pictures are {list(grey.shape)}: give [N, H, W]")
    if radius < 1 or not 0 <= tau < 1:
        raise InputError(
            f"radius={radius}, tau={tau}: give a radius of 1 or more, tau in 0..1"
        )
    _, height, width = grey.shape
    padded = np.pad(grey, ((0, 0), (radius, radius), (radius, radius)), mode="edge")
    upper, lower = grey * (1 + tau), grey * (1 - tau)
    pattern = np.zeros(grey.shape, np.uint8)
    offsets = ((0, radius), (-radius, 0), (0, -radius), (radius, 0))
    for k, (down, right) in enumerate(offsets):
        top, left = radius + down, radius + right
        neighbour = padded[:, top : top + height, left : left + width]
        pattern += np.uint8(3**k) * (neighbour > upper)
        pattern += np.uint8(2 * 3**k) * (neighbour < lower)
    return pattern
