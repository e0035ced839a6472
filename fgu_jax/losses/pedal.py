"""PEDAL, the loss of the local branch, eq (6)."""

import jax
import jax.numpy as jnp
from jax import lax

from fgu_jax.losses import streamed
from fgu_jax.losses.checks import (
    check_block_rows,
    check_num_neighbors,
    check_patches,
    check_positive,
)
from fgu_jax.losses.logits import patch_exponents


def pedal_loss(
    patches: jax.Array,
    table: jax.Array,
    indices: jax.Array,
    *,
    scale: float | jax.Array,
    num_neighbors: int = 15,
    block_rows: int | None = None,
) -> jax.Array:
    r"""PEDAL: pulls a patch to its k nearest in memory, pushes it from the rest.

    FGU eq (6), with :math:`e_j = -\frac{s}{2}\lVert x_i^u - W_j^u \rVert_2^2`:

    .. math:: L_s^u = \log\sum_{j \ne i} \exp e_j
                      - \log\sum_{j \in k_i^u} \exp e_j

    where :math:`k_i^u` are the k largest exponents with j != i: the image's own row is
    neither a neighbour nor in the sum. W is a constant here. The authors of PAUL
    use s where the equation has s/2; the equation is followed.

    Args:
      patches: float [U, B, d], unit rows x.
      table: float [U, N, d], patch memory W, one unit row an image and patch.
      indices: int [B], row of each image in W, 0..N-1.
      scale: s > 0.
      num_neighbors: k, 1..N-1.
      block_rows: rows of W read at a time, so that memory is O(U B (k + d)), not
        O(U B N). ``None`` decides by size (``losses.streamed.rows_at_once``); N or
        more is the plain form, which alone has forward mode and second derivatives.

    Returns:
      float [U, B], 0 or more; 0 exactly where k = N - 1.

    Raises:
      InputError: shapes that do not fit, an index outside W, k outside 1..N-1, s <= 0,
        block_rows < 1.

    >>> W = jnp.array([[[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]])
    >>> x = W[:, :1]
    >>> loss = pedal_loss(x, W, jnp.array([0]), scale=1.0, num_neighbors=1)
    >>> round(float(loss[0, 0]), 4)  # log(e^-1 + e^-2) - log(e^-1)
    0.3133

    Source: FGU eq (6); Yang et al., PAUL, CVPR 2019, eq (2).
    """
    check_patches(patches, table, indices)
    check_num_neighbors(num_neighbors, table.shape[1])
    check_positive("scale", scale)
    check_block_rows(block_rows)
    if block_rows is None:
        copies, batch, width = patches.shape
        block_rows = streamed.rows_at_once(
            batch, table.shape[1], width, copies=copies, num_neighbors=num_neighbors
        )
    if block_rows < table.shape[1]:
        return streamed.streamed_pedal(
            patches,
            lax.stop_gradient(table),
            indices,
            jnp.asarray(scale, jnp.result_type(patches, table)),
            num_neighbors,
            block_rows,
        )
    exponents = patch_exponents(patches, table, indices, scale=scale)
    nearest = lax.top_k(exponents, num_neighbors)[0]
    return jax.nn.logsumexp(exponents, axis=-1) - jax.nn.logsumexp(nearest, axis=-1)
