"""The memory tables V and W, and the centres c: pure rules of change.

Samples of a batch change a table *in batch order*, so two samples of one row change
it twice. ``table.at[rows].set`` does not promise that for repeated rows; here the
r-th samples of all rows go together in round r, and there are as many rounds as the
commonest row has samples (one, nearly always).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from fgu_jax.errors import InputError

__all__ = ["means_by_cluster", "update_cluster_memory", "update_patch_memory"]


def _unit(x: jax.Array) -> jax.Array:
    """Rows of ``x`` [..., D] divided by their Euclidean length; a zero row stays zero.

    Not ``networks.heads.unit``: no gradient flows here, and what keeps that one finite
    at a zero row would change the rounding of a step.

    >>> _unit(jnp.array([3.0, 4.0])).tolist()
    [0.6000000238418579, 0.800000011920929]
    """
    length = jnp.sqrt(jnp.sum(jnp.square(x), axis=-1, keepdims=True))
    return x / jnp.maximum(length, jnp.finfo(x.dtype).tiny)


def update_cluster_memory(
    table: jax.Array,
    features: jax.Array,
    labels: jax.Array,
    *,
    rate: float = 0.5,
    hardest: bool = False,
) -> jax.Array:
    """Cluster memory after a batch: ``V[y] <- unit((1 - r) V[y] + r v)``, in its order.

    Args:
      table: float [C, D], cluster memory V.
      features: float [B, D], unit rows v of the forward pass whose gradient was taken.
      labels: int [B], cluster of each; a label outside 0..C-1 changes nothing.
      rate: r, in 0..1.
      hardest: of the images of a cluster in the batch only the one that is least like
        its row, of equals the first, changes it.

    Returns:
      float [C, D], of the table's dtype.

    Raises:
      InputError: shapes that do not fit, a rate outside 0..1.

    >>> V = jnp.array([[1.0, 0.0]])
    >>> v = jnp.array([[0.0, 1.0]])
    >>> new = update_cluster_memory(V, v, jnp.array([0]))[0]
    >>> [round(float(x), 3) for x in new]
    [0.707, 0.707]

    Source: FGU section 2.2.1, the rule (V + v) / 2; made unit again as in BUC. Other
    rates and ``hardest``: Dai et al., Cluster Contrast, ACCV 2022 (its code's momentum
    is 1 - r, its ``CM_Hard`` the hardest).
    """
    if not 0 <= rate <= 1:
        raise InputError(f"rate is {rate}: give a number in 0..1")
    fits = table.ndim == 2 and features.shape == (len(labels), table.shape[-1])
    if not fits:
        raise InputError(
            f"features {features.shape} and labels {labels.shape} do not fit the "
            f"table {table.shape}: give [B, D], [B] and [C, D]"
        )
    if hardest:
        labels = _hardest_alone(table, features, labels)

    def blend(old, v):
        return (old + v) / 2 if rate == 0.5 else (1 - rate) * old + rate * v

    return _in_batch_order(table[None], features[None], labels, blend)[0]


def _hardest_alone(
    table: jax.Array, features: jax.Array, labels: jax.Array
) -> jax.Array:
    """The labels, -1 where another image of the cluster is less like its row."""
    rows = table.at[labels].get(mode="clip")
    alike = jnp.sum(rows * features.astype(table.dtype), axis=-1)
    first = jnp.arange(len(labels))
    harder = alike[None, :] < alike[:, None]
    harder |= (alike[None, :] == alike[:, None]) & (first[None, :] < first[:, None])
    beaten = jnp.any(harder & (labels[None, :] == labels[:, None]), axis=1)
    return jnp.where(beaten, -1, labels)


def means_by_cluster(table: jax.Array, labels: jax.Array) -> jax.Array:
    """A row a cluster of a memory that has one an image: their mean, not made unit.

    A logit of such a row is the mean of those of its images.

    Args:
      table: float [N, D], a row an image.
      labels: int [N], in 0..N-1, cluster of each; -1: in none.

    Returns:
      float [N, D]; rows of clusters that there are not are zero.

    Raises:
      InputError: shapes that do not fit.

    >>> V = jnp.eye(3)
    >>> means_by_cluster(V, jnp.array([0, 0, -1])).tolist()[:2]
    [[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]

    Source: Ge et al., Self-paced Contrastive Learning, NeurIPS 2020, eq (1).
    """
    if table.ndim != 2 or labels.shape != table.shape[:1]:
        raise InputError(
            f"labels {labels.shape} do not fit the table {table.shape}: give [N] and "
            "[N, D]"
        )
    height = len(table)
    rows = jnp.where(labels < 0, height, labels)
    sums = jax.ops.segment_sum(table, rows, height)
    count = jax.ops.segment_sum(jnp.ones(height, table.dtype), rows, height)
    return sums / jnp.maximum(count, 1)[:, None]


def update_patch_memory(
    table: jax.Array, patches: jax.Array, indices: jax.Array, *, rate: float = 0.1
) -> jax.Array:
    """Patch memory after a batch: ``W[u, i] <- unit((1 - m) W[u, i] + m x)``.

    Args:
      table: float [U, N, d], patch memory W.
      patches: float [U, B, d], unit rows x.
      indices: int [B], image of each; a repeated image changes its row in batch order.
      rate: m, in 0..1.

    Returns:
      float [U, N, d], of the table's dtype.

    Raises:
      InputError: shapes that do not fit, a rate outside 0..1.

    >>> W = jnp.array([[[1.0, 0.0]]])
    >>> x = jnp.array([[[0.0, 1.0]]])
    >>> update_patch_memory(W, x, jnp.array([0]), rate=1.0)[0, 0].tolist()
    [0.0, 1.0]

    Source: Yang et al., PAUL, CVPR 2019, section 3.2 (m = 0.1 after its code).
    """
    fits = table.ndim == 3 and patches.shape == (
        table.shape[0],
        len(indices),
        table.shape[2],
    )
    if not fits:
        raise InputError(
            f"patches {patches.shape} and indices {indices.shape} do not fit the "
            f"table {table.shape}: give [U, B, d], [B] and [U, N, d]"
        )
    if not 0 <= rate <= 1:
        raise InputError(f"rate is {rate}: give a number in 0..1")
    return _in_batch_order(
        table, patches, indices, lambda old, x: (1 - rate) * old + rate * x
    )


def _in_batch_order(
    table: jax.Array,
    values: jax.Array,
    rows: jax.Array,
    blend: Callable[[jax.Array, jax.Array], jax.Array],
) -> jax.Array:
    """``table[:, r] <- unit(blend(table[:, r], value))``, sample after sample."""
    batch, height = rows.shape[0], table.shape[1]
    if batch == 0:
        return table
    # A negative row would count from the end; it goes out of range instead.
    rows = jnp.where(rows < 0, height, rows)
    earlier = jnp.tril(rows[:, None] == rows[None, :], k=-1)
    # Samples that change nothing wait for none: they would be repeats of one row.
    turn = jnp.where(rows < height, jnp.sum(earlier, axis=1), 0)
    last = jnp.max(turn)
    values = values.astype(table.dtype)

    def one_round(carry):
        now, table = carry
        new = _unit(blend(table.at[:, rows].get(mode="clip"), values))
        target = jnp.where(turn == now, rows, height)
        return now + 1, table.at[:, target].set(new, mode="drop")

    start = (jnp.zeros_like(last), table)
    return lax.while_loop(lambda carry: carry[0] <= last, one_round, start)[1]
