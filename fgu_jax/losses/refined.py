"""Losses whose targets are refined by how far v and the patches agree (PPLR)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from fgu_jax.losses.checks import check_positive, check_table
from fgu_jax.losses.logits import repelled_logits


class Refined(NamedTuple):
    """Losses of each example: of v, [B], and of its patches, [U, B]."""

    repelled: jax.Array
    patches: jax.Array


def refined_losses(
    features: jax.Array,
    patches: jax.Array,
    table: jax.Array,
    patch_tables: jax.Array,
    labels: jax.Array,
    agreement: jax.Array,
    *,
    refine: float = 0.5,
    smooth: float = 1.0,
    temperature: float | jax.Array = 0.1,
    num_clusters: int | jax.Array | None = None,
) -> Refined:
    r"""Cross-entropy of v and of each patch against refined targets.

    With q the softmax of ``repelled_loss``, the target of v is

    .. math:: (1 - r)\, y + r \sum_u w_u q^u, \quad w = softmax_u(a_u)

    and a patch has, beside its own cluster, the uniform distribution over all C:

    .. math:: \alpha_u H(y, q^u) + (1 - \alpha_u) KL(1/C \,\|\, q^u),
        \quad \alpha_u = 1 - s (1 - a_u)

    Predictions in a target are constants. With ``refine`` and ``smooth`` of 0 both are
    ``repelled_loss``.

    Args:
      features: float [B, D], unit rows v.
      patches: float [U, B, d], unit rows.
      table: float [C_max, D], cluster memory V; a constant here.
      patch_tables: float [U, C_max, d], W with a row a cluster; a constant here.
      labels: int [B], cluster of each example.
      agreement: float [U, B], a, 0 to 1: ``clustering.agreement`` of each patch.
      refine: r, 0 to 1; 1 - beta of the source, 0.5 there.
      smooth: s, 0 to 1; 1 in the source.
      temperature: tau > 0.
      num_clusters: C; rows from C on are dead. ``None``: all alive.

    Returns:
      ``Refined``, 0 or more.

    Raises:
      InputError: shapes that do not fit, a label outside the table, tau <= 0.

    >>> V = jnp.eye(2)
    >>> own, whole = jnp.array([0]), jnp.ones((1, 1))
    >>> losses = refined_losses(V[:1], V[None, :1], V, V[None], own, whole, refine=0.0)
    >>> float(losses.repelled[0]) == float(losses.patches[0, 0])
    True

    Source: Cho et al., Part-based Pseudo Label Refinement for Unsupervised Person
    Re-identification, CVPR 2022, eqs (5) to (8).
    """
    check_table("cluster memory", features, table, labels)
    check_positive("temperature", temperature)
    rows = table.shape[0]
    alive = jnp.arange(rows) < (rows if num_clusters is None else num_clusters)

    def log_softmax(x, table):
        logits = repelled_logits(
            x, table, temperature=temperature, num_clusters=num_clusters
        )
        return jnp.where(alive, jax.nn.log_softmax(logits), 0)

    def of_own(log_q):
        return jnp.take_along_axis(log_q, labels[..., None], axis=-1)[..., 0]

    log_v = log_softmax(features, table)
    log_u = jax.vmap(log_softmax)(patches, patch_tables)
    weights = jax.nn.softmax(agreement, axis=0)
    predicted = jnp.where(alive, jnp.exp(lax.stop_gradient(log_u)), 0)
    target = jnp.einsum("ub,ubc->bc", weights, predicted)
    repelled = -(1 - refine) * of_own(log_v) - refine * jnp.sum(target * log_v, axis=-1)
    kept = 1 - smooth * (1 - agreement)
    own = jax.vmap(of_own)(log_u)
    count = jnp.sum(alive).astype(log_u.dtype)
    from_uniform = -jnp.sum(log_u, axis=-1) / count - jnp.log(count)
    return Refined(repelled, -kept * own + (1 - kept) * from_uniform)
