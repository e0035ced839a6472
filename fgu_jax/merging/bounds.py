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

From bfloat16 products, for devices fast at those: rows of the frame, y in float32, are
rounded to z in bfloat16. Let r be the largest distance of any z from its row before any
rounding. By the triangle inequality

.. math:: \sigma |x_i - x_j| \le d \implies |z_i - z_j| \le d + 2r,

which is far sharper than a bound of the products' own errors, as r is measured:
at most 2^-8 |y|, and about 0.4 of that on real rows. The value computed for a pair is

.. math:: t_{ij} = (1 - e) p_i + (1 - e) p_j - 2\, z_i \cdot z_j \le |z_i - z_j|^2

with p = |z|^2. Why this holds, with u = 2^-24 and D columns:

* Products of bfloat16 numbers have at most 16 bits and are exact in float32.
* A float32 sum of D terms is off by less than D u times the sum of their sizes where
  each addition rounds; a tensor core aligns the terms of a short sum and cuts them
  off, which is below four times that. So 2 z_i z_j is off by at most
  4Du / (1 - 4Du) (p_i + p_j), and p itself, summed on the device too, by as much again
  at the worst.
* Rounding (1 - e) p and two additions adds at most 4u (p_i + p_j).

So e = (8 D + 8) u / (1 - 4Du) suffices; 24 u more are for products of these errors.
Norms are below 1, underflow stays below 2^-100 as above.

Where 2r is not small against the distances that matter, float32 rows are compared
instead, whose e is the first one above, with D u more as norms are summed in
float32 here, and doubled as there. ``r`` is then 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fgu_jax.merging.forest import rows_per_chunk

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
    products = _products(a.rows, b.rows, jax.lax.Precision.HIGHEST)
    return a.norms[:, None] + b.norms[None, :] - 2 * products


def _products(
    a: jax.Array, b: jax.Array, precision: jax.lax.Precision | None
) -> jax.Array:
    """Products of all rows of two blocks, summed in float32."""
    return jax.lax.dot_general(
        a,
        b,
        (((1,), (1,)), ((), ())),
        precision=precision,
        preferred_element_type=jnp.float32,
    )


# Of |z - y| in float32: components and squares that are flushed to zero.
_FLUSHED = 2.0**-52
# More than the rounding of a square root, a sum of three and a square.
_ABOVE = np.float32(1 + 2.0**-20)


class Rows(NamedTuple):
    """Rows of the frame on a device, and two kinds of norm, infinite for padding.

    Attributes:
      rows: float32 ``[B, D]``.
      full: float32 ``[B]``, ``(1 - e) |y|^2``, e of float32 products.
      narrow: float32 ``[B]``, ``(1 - e) |z|^2``, e of bfloat16 products.
    """

    rows: jax.Array
    full: jax.Array
    narrow: jax.Array


def measured_rows(
    scaled: jax.Array, valid: jax.Array, origin: jax.Array
) -> tuple[Rows, jax.Array]:
    """Moves rows to the frame on the device, and measures r.

    Args:
      scaled: float32 ``[B, D]``, features times the frame's scale. The host multiplies
        them: a device may take subnormal features for zeros.
      valid: bool ``[B]``; the others only fill the block.
      origin: float32 ``[D]``, the frame's.

    Returns:
      The rows, and r of the valid ones, float32 ``[]``.
    """
    columns = scaled.shape[1]
    rows = scaled - origin[None, :]
    # A conversion to bfloat16 and back may be left out by the compiler; this may not.
    rounded = _rounded(rows)
    squares, narrow_squares, errors = (
        jnp.sum(jnp.square(part), axis=1)
        for part in (rows, rounded, rows - rounded)  # the difference is exact
    )
    sums = columns * _UNIT_ROUNDOFF
    margin = 2 * (2 * sums + 9 * _UNIT_ROUNDOFF) / (1 - sums)
    narrow_margin = (8 * sums + 32 * _UNIT_ROUNDOFF) / (1 - 4 * sums)
    # Sums of squares are off by sums, roots by half of it; the float32 row itself by
    # one unit of its length.
    off = (1 + 2 * sums + 8 * _UNIT_ROUNDOFF) * jnp.sqrt(errors)
    off = off + 2 * _UNIT_ROUNDOFF * jnp.sqrt(squares) + _FLUSHED
    return (
        Rows(
            rows,
            jnp.where(valid, (1 - margin) * squares, jnp.inf),
            jnp.where(valid, (1 - narrow_margin) * narrow_squares, jnp.inf),
        ),
        jnp.max(jnp.where(valid, off, 0)),
    )


def products_below(a: Rows, b: Rows, *, narrow: bool) -> jax.Array:
    """The bounds of the module's equation, float32 ``[B, B]``, infinite for padding."""
    if not narrow:
        return lower_bounds(Block(a.rows, a.full), Block(b.rows, b.full))
    left, right = (_rounded(side.rows).astype(jnp.bfloat16) for side in (a, b))
    products = _products(left, right, None)
    return a.narrow[:, None] + b.narrow[None, :] - 2 * products


def raised(limits: jax.Array, reach: jax.Array) -> jax.Array:
    """What |z_i - z_j|^2 may be for pairs within their limits: ``(sqrt(L) + 2r)^2``.

    Args:
      limits: float32, squared, of the frame; minus infinity stays.
      reach: 2r, 0 where rows are compared in float32.
    """
    widened = jnp.square(jnp.sqrt(jnp.maximum(limits, 0)) + reach) * _ABOVE
    return jnp.where(limits < 0, -jnp.inf, widened)


def lowered(bounds: np.ndarray, reach: float) -> np.ndarray:
    """Bounds of the distances of float32 rows from those of rounded ones, squared.

    Args:
      bounds: float32, of |z_i - z_j|^2, 0 or more.
      reach: 2r.

    Returns:
      float64, ``max(0, sqrt(bounds) - 2r)^2``.
    """
    kept = np.maximum(0, np.sqrt(bounds.astype(np.float64)) - reach)
    squared: np.ndarray = np.square(kept) * (1 - 2.0**-40)
    return squared


def _rounded(rows: jax.Array) -> jax.Array:
    return jax.lax.reduce_precision(rows, exponent_bits=8, mantissa_bits=7)
