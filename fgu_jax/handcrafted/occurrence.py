"""Local maximal occurrence: how often a pattern stands in the window that has most."""

import numpy as np

from fgu_jax.errors import InputError

WINDOW, STEP = 10, 5  # pixels; a window is two steps wide


def num_windows(length: int) -> int:
    """How many windows lie along so many pixels.

    >>> [num_windows(pixels) for pixels in (128, 64, 32, 9)]
    [24, 11, 5, 0]
    """
    return max(0, (length - WINDOW) // STEP + 1)


def maximal_occurrence(patterns: np.ndarray, num_patterns: int) -> np.ndarray:
    """Histograms of windows, and of those on one height the maximum of each bin.

    Windows are 10 x 10 pixels and lie 5 pixels apart from the top left corner; what is
    left over at the right and below is not looked at. The maximum over a row of windows
    lets a person turn without changing much.

    Args:
      patterns: int [N, H, W], in 0..num_patterns-1.
      num_patterns: bins of a histogram.

    Returns:
      uint8 [N, num_windows(H), num_patterns], counts in 0..100.

    Raises:
      InputError: pictures smaller than a window.

    Source: Liao et al., CVPR 2015, section 3.2.

    >>> maximal_occurrence(np.zeros((1, 10, 15), int), 2).tolist()
    [[[100, 0]]]
    """
    count, height, width = patterns.shape
    down, across = num_windows(height), num_windows(width)
    if not down or not across:
        raise InputError(
            f"pictures are {height} x {width}: give {WINDOW} x {WINDOW} or more"
        )
    # Each pixel is counted once, in a cell of one step; a window is four cells.
    rows, columns = down + 1, across + 1
    seen = patterns[:, : rows * STEP, : columns * STEP]
    cell = (np.arange(rows * STEP) // STEP * columns)[:, None] + (
        np.arange(columns * STEP) // STEP
    )
    cell = cell[None] + (np.arange(count) * (rows * columns))[:, None, None]
    total = count * rows * columns * num_patterns
    counted = np.bincount((cell * num_patterns + seen).ravel(), minlength=total)
    cells = counted.astype(np.uint8).reshape(count, rows, columns, num_patterns)
    pairs = cells[:, :-1] + cells[:, 1:]
    return (pairs[:, :, :-1] + pairs[:, :, 1:]).max(axis=2)
