"""Features that look like those of a network: unit rows around centres."""

import numpy as np


def unit_rows(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    *,
    around: np.ndarray | None = None,
    spread: float = 1.0,
) -> np.ndarray:
    """Float32 unit rows; with ``around``, at about ``spread`` from those rows.

    >>> rows = unit_rows(np.random.default_rng(0), (2, 3))
    >>> np.linalg.norm(rows, axis=1).round(5).tolist()
    [1.0, 1.0]
    """
    rows = rng.standard_normal(shape, np.float32)
    if around is not None:
        rows *= np.float32(spread / shape[-1] ** 0.5)
        rows += around
    rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows


def clustered(
    rng: np.random.Generator, labels: np.ndarray, width: int, spread: float
) -> np.ndarray:
    """Float32 unit rows [N, width], those of one label around one centre."""
    centres = unit_rows(rng, (int(labels.max()) + 1, width))
    return unit_rows(rng, (len(labels), width), around=centres[labels], spread=spread)
