"""Up to which distance a pair of rows in leaf order matters, block against block.

The limit of two places is the largest gap between them. Within a block that is a
running maximum; for two blocks it is the largest of a number by row, one by column and
one by pair of blocks.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


def round_up(values: np.ndarray) -> np.ndarray:
    """Float32 no less than the float64 values."""
    return np.nextafter(values.astype(np.float32), np.float32(np.inf))


class LeafLimits(NamedTuple):
    """Limits of M blocks of B places each, float32, minus infinity beyond the last.

    Attributes:
      behind: ``[M, B]``, the gap behind each place.
      to_end: ``[M, B]``, the largest gap from a place to the end of its block.
      from_start: ``[M, B]``, the largest gap from its block's start to a place.
      between: ``[M, M]``, the largest gap of the blocks between two, symmetric.
    """

    behind: np.ndarray
    to_end: np.ndarray
    from_start: np.ndarray
    between: np.ndarray

    @classmethod
    def of(cls, gaps: np.ndarray, num_blocks: int, size: int) -> LeafLimits:
        """Of the gaps between neighbours, float64, at most M B - 1 of them.

        >>> limits = LeafLimits.of(np.array([0.0, 4.0, 1.0]), 2, 2)
        >>> limits.to_end.round(2).tolist()
        [[4.0, 4.0], [1.0, -inf]]
        """
        padded = np.full(num_blocks * size, -np.inf, np.float32)
        padded[: len(gaps)] = round_up(gaps)
        behind = padded.reshape(-1, size)
        to_end = np.maximum.accumulate(behind[:, ::-1], axis=1)[:, ::-1]
        from_start = np.full_like(behind, -np.inf)
        from_start[:, 1:] = np.maximum.accumulate(behind[:, :-1], axis=1)
        between = np.full((num_blocks, num_blocks), -np.inf, np.float32)
        for a in range(num_blocks - 2):
            passed = np.maximum.accumulate(to_end[a + 1 : -1, 0])
            between[a, a + 2 :] = between[a + 2 :, a] = passed
        return cls(behind, to_end, from_start, between)


def limits_within(behind: jax.Array) -> jax.Array:
    """Limits of all pairs of one block, ``[B, B]``; minus infinity unless row < column.

    >>> limits_within(jnp.array([0.0, 4.0, 1.0])).tolist()[0]
    [-inf, 0.0, 4.0]
    """
    places = jnp.arange(len(behind))
    after = jnp.concatenate([jnp.full(1, -jnp.inf, behind.dtype), behind[:-1]])
    limits = jnp.where(places[:, None] < places[None, :], after[None, :], -jnp.inf)
    return jax.lax.cummax(limits, axis=1)
