"""RAFL, the loss of the global branch: repelled and attracted, eqs (1) to (4)."""

import jax
import jax.numpy as jnp
from jax import lax

from fgu_jax.losses import streamed
from fgu_jax.losses.checks import check_block_rows, check_positive, check_table
from fgu_jax.losses.logits import repelled_logits


def repelled_loss(
    features: jax.Array,
    table: jax.Array,
    labels: jax.Array,
    *,
    temperature: float | jax.Array = 0.1,
    num_clusters: int | jax.Array | None = None,
    block_rows: int | None = None,
) -> jax.Array:
    r"""Repelled loss: cross-entropy of an image against the cluster memory.

    FGU eqs (1)-(2):

    .. math:: L_r = -\log \frac{\exp(V_y^T v/\tau)}{\sum_{j=1}^C \exp(V_j^T v/\tau)}

    Eq (4) of the paper prints the sum without its logarithm; eq (2) is meant. The
    table is a constant here: no gradient flows into it.

    Args:
      features: float [B, D], unit rows v.
      table: float [C_max, D], cluster memory V, one unit row a cluster.
      labels: int [B], cluster of each example, in 0..C-1.
      temperature: tau > 0.
      num_clusters: C; rows from C on are dead and masked out. ``None``: all alive.
      block_rows: rows of V read at a time, so that memory is O(B D), not O(B C), and
        blocks of dead rows cost nothing. ``None`` decides by size
        (``losses.streamed.rows_at_once``); C_max or more is the plain form, which
        alone has forward mode and second derivatives.

    Returns:
      float [B], 0 or more.

    Raises:
      InputError: shapes that do not fit, a label outside the table, tau <= 0,
        block_rows < 1.

    >>> V = jnp.eye(2)
    >>> round(float(repelled_loss(V[:1], V, jnp.array([0]), temperature=1.0)[0]), 4)
    0.3133

    Source: FGU eqs (1)-(2); Lin et al., BUC, AAAI 2019, eqs (1)-(2).
    """
    check_table("cluster memory", features, table, labels)
    check_positive("temperature", temperature)
    check_block_rows(block_rows)
    if block_rows is None:
        block_rows = streamed.rows_at_once(len(features), *table.shape)
    if block_rows < table.shape[0]:
        return streamed.streamed_repelled(
            features,
            lax.stop_gradient(table),
            labels,
            jnp.asarray(temperature, jnp.result_type(features, table)),
            jnp.asarray(
                table.shape[0] if num_clusters is None else num_clusters, jnp.int32
            ),
            block_rows,
        )
    logits = repelled_logits(
        features, table, temperature=temperature, num_clusters=num_clusters
    )
    own = jnp.arange(table.shape[0])[None, :] == labels[:, None]
    target = jnp.sum(jnp.where(own, logits, 0), axis=1)
    return jax.nn.logsumexp(logits, axis=-1) - target


def attracted_loss(
    features: jax.Array, centres: jax.Array, labels: jax.Array
) -> jax.Array:
    r"""Attracted loss: half the squared distance to the cluster's centre.

    FGU eq (3), one example's part (the paper sums over the images; take the mean):

    .. math:: L_a = \tfrac12 \lVert v - c_y \rVert_2^2

    Args:
      features: float [B, D], unit rows v.
      centres: float [C_max, D], mean feature of each cluster; a constant here.
      labels: int [B], cluster of each example.

    Returns:
      float [B], in 0..2 for unit features and centres within the unit ball.

    Raises:
      InputError: shapes that do not fit, a label outside the table.

    >>> float(attracted_loss(jnp.eye(2)[:1], jnp.eye(2), jnp.array([1]))[0])
    1.0

    Source: FGU eq (3).
    """
    check_table("centres", features, centres, labels)
    difference = features - lax.stop_gradient(centres)[labels]
    return 0.5 * jnp.sum(jnp.square(difference), axis=-1)


def rafl_loss(
    features: jax.Array,
    table: jax.Array,
    centres: jax.Array,
    labels: jax.Array,
    *,
    temperature: float | jax.Array = 0.1,
    attract_weight: float | jax.Array = 0.5,
    num_clusters: int | jax.Array | None = None,
    block_rows: int | None = None,
) -> jax.Array:
    """RAFL, the loss of the global branch: ``L_g = L_r + beta L_a`` (FGU eq (4)).

    Args:
      features: float [B, D], unit rows v.
      table: float [C_max, D], cluster memory V.
      centres: float [C_max, D], centres c.
      labels: int [B], cluster of each example.
      temperature: tau > 0.
      attract_weight: beta >= 0; may be traced (it is 0 before the first merge).
      num_clusters: C; ``None``: all rows are alive.
      block_rows: rows of V read at a time, as in ``repelled_loss``.

    Returns:
      float [B], 0 or more.

    Raises:
      InputError: as ``repelled_loss`` and ``attracted_loss``.

    >>> V = jnp.eye(2)
    >>> round(float(rafl_loss(V[:1], V, V, jnp.array([0]), temperature=1.0)[0]), 4)
    0.3133

    Source: FGU eq (4), with the logarithm of eq (2).
    """
    repelled = repelled_loss(
        features,
        table,
        labels,
        temperature=temperature,
        num_clusters=num_clusters,
        block_rows=block_rows,
    )
    return repelled + attract_weight * attracted_loss(features, centres, labels)
