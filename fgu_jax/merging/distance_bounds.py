r"""Lower bounds of squared distances, one block of rows against another, on a device.

Blocked float32 products are fast but rounded, so they never decide: they only rule
pairs out. With :math:`y = \sigma x - o` rounded to float32, where :math:`o` is about
the mean of the first term and :math:`\sigma` a power of two that brings every norm
below 1, and :math:`q = |y|^2`, the value computed for a pair is

.. math:: l_{ij} = (1 - e) q_i + (1 - e) q_j - 2\, y_i \cdot y_j \le
   \sigma^2 |x_i - x_j|^2 + 2^{-100}.

Why this holds, with u = 2^-24, the unit roundoff of float32, and D columns:

* The origin cancels in a difference. Rounding y moves each row by at most u |y|, hence
  the squared distance by at most 2u (|y_i| + |y_j|)^2 + O(u^2), which is below
  4.1 u (q_i + q_j).
* A float32 sum of D products, in any order and with or without fused
  multiply-adds, is off by at most Du / (1 - Du) |y_i| |y_j|; twice that is at most
  Du / (1 - Du) (q_i + q_j).
* Rounding (1 - e) q and the two additions adds at most 4u (q_i + q_j).
* Underflow, flushed to zero or not, moves y by 2^-126 a component and the sums by as
  much a term: together far below 2^-100, as all norms are below 1.

So e = (D + 9) u / (1 - Du) suffices; it is doubled for devices on which
``Precision.HIGHEST`` builds a float32 product out of narrower ones. Taking the
origin away keeps e q small where features share a large offset.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fgu_jax.merging.duplicates import rows_per_chunk

UNDERFLOW = 2.0**-100
_UNIT_ROUNDOFF = 2.0**-24
_SAMPLED = 1024


class Frame(NamedTuple):
    """Where features are moved to before they are multiplied: ``scale x - origin``.

    Attributes:
      origin: float32 ``[D]``, near the middle of the scaled features.
      scale: a power of two.
    """

    origin: np.ndarray
    scale: np.float32

    @classmethod
    def around(cls, features: np.ndarray) -> Frame:
        """A scale that brings every norm below 1, and the mean of some rows."""
        num_images, num_columns = features.shape
        reach = max(float(features.max()), -float(features.min()))
        # Half for the scaled features, half for the origin.
        exponent = np.frexp(2 * reach * np.sqrt(num_columns))[1]
        scale = np.float32(2.0 ** -max(exponent, -126))
        some = features[:: max(1, num_images // _SAMPLED)]
        return cls(
            (some.mean(axis=0, dtype=np.float64) * scale).astype(np.float32), scale
        )

    def move(self, features: np.ndarray, dtype: type) -> np.ndarray:
        """Rows in the frame, rounded once to float32 or to float64."""
        moved: np.ndarray = features.astype(dtype)
        moved *= self.scale
        moved -= self.origin
        return moved


class Block(NamedTuple):
    """Rows of the frame on the device: float32 ``[B, D]`` and ``(1 - e) q``, ``[B]``.

    The norm of a row that only fills the last block is infinite.
    """

    rows: jax.Array
    norms: jax.Array


def most_block_rows(platform: str | None = None) -> int:
    """Rows a block that a device, the default one, multiplies well."""
    return 704 if (platform or jax.default_backend()) == "cpu" else 8192


def even_block_rows(
    num_rows: int, *, devices: int = 1, platform: str | None = None
) -> int:
    """Rows a block such that the last one is nearly full."""
    layers = -(-num_rows // (devices * most_block_rows(platform)))
    return max(8, -(-num_rows // (8 * devices * layers)) * 8)


def place_blocks(
    features: np.ndarray, chosen: np.ndarray, frame: Frame, size: int
) -> list[Block]:
    """Move the chosen rows of features ``[N, D]`` to the device, block by block."""
    num_columns = features.shape[1]
    rounding = num_columns * _UNIT_ROUNDOFF
    margin = 2 * (rounding + 9 * _UNIT_ROUNDOFF) / (1 - rounding)
    step = rows_per_chunk(num_columns)
    blocks = []
    for start in range(0, len(chosen), size):
        block = chosen[start : start + size]
        rows = np.zeros((size, num_columns), np.float32)
        norms = np.full(size, np.inf, np.float32)
        for low in range(0, len(block), step):
            part = slice(low, min(low + step, len(block)))
            rows[part] = frame.move(features[block[part]], np.float32)
            squares = np.square(rows[part], dtype=np.float64)
            norms[part] = (1 - margin) * squares.sum(axis=1)
        blocks.append(Block(jnp.asarray(rows), jnp.asarray(norms)))
    return blocks


def block_pairs(num_blocks: int) -> Iterator[tuple[int, int]]:
    """Each unordered pair of blocks once: distances are symmetric."""
    return ((a, b) for a in range(num_blocks) for b in range(a, num_blocks))


def lower_bounds(a: Block, b: Block) -> jax.Array:
    """The bounds of the module's equation, float32 ``[B, B]``, infinite for padding."""
    products = jax.lax.dot_general(
        a.rows,
        b.rows,
        (((1,), (1,)), ((), ())),
        precision=jax.lax.Precision.HIGHEST,
        preferred_element_type=jnp.float32,
    )
    return a.norms[:, None] + b.norms[None, :] - 2 * products
