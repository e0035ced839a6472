"""Losses of a start with labels: identities told apart, and batch-hard triplets."""

import jax
import jax.numpy as jnp
import optax
from jax import lax

from fgu_jax.errors import InputError
from fgu_jax.losses.checks import check_positive, check_share, check_table

# Squares of distances below this are rounding; the slope of a root has no end there.
_SAME = 1e-6


def identity_logits(
    features: jax.Array, classifier: jax.Array, *, temperature: float
) -> jax.Array:
    """Logits ``w_j^T f / (tau |w_j|)`` of a cosine classifier.

    Args:
      features: float [B, D], unit rows f.
      classifier: float [C, D], a row w an identity, of any length but 0.
      temperature: tau.

    Returns:
      float [B, C], in -1/tau..1/tau.
    """
    square = jnp.sum(jnp.square(classifier), axis=1, keepdims=True)
    rows = classifier * lax.rsqrt(jnp.maximum(square, jnp.finfo(square.dtype).tiny))
    return jnp.matmul(features, rows.T, precision=lax.Precision.HIGHEST) / temperature


def identity_loss(
    features: jax.Array,
    classifier: jax.Array,
    labels: jax.Array,
    *,
    temperature: float = 0.05,
    smoothing: float = 0.1,
) -> jax.Array:
    r"""Cross-entropy over identities with smoothed labels, of a cosine classifier.

    .. math:: -\sum_j q_j \log \frac{\exp(\cos(w_j, f)/\tau)}{\sum_k \exp(\cos(w_k,
        f)/\tau)}, \quad q_j = (1 - \epsilon) [j = y] + \epsilon / C

    Features have unit length, and are compared by their angles: so are the rows of the
    classifier, and 1/tau stands for the length that both would otherwise learn.

    Args:
      features: float [B, D], unit rows f.
      classifier: float [C, D], a row w an identity.
      labels: int [B], in 0..C-1.
      temperature: tau > 0.
      smoothing: epsilon, 0 to 1.

    Returns:
      float [B], 0 or more.

    Raises:
      InputError: shapes that do not fit, a label outside the classifier, tau <= 0,
        epsilon outside 0 to 1.

    >>> w, y = jnp.eye(2), jnp.array([0])
    >>> round(float(identity_loss(w[:1], w, y, temperature=1.0, smoothing=0.0)[0]), 4)
    0.3133

    Source: Szegedy et al., CVPR 2016, section 7 (label smoothing); Wang et al.,
    NormFace, ACM MM 2017 (the cosine classifier).
    """
    check_table("classifier", features, classifier, labels)
    check_positive("temperature", temperature)
    check_share("smoothing", smoothing)
    logits = identity_logits(features, classifier, temperature=temperature)
    wanted = jax.nn.one_hot(labels, len(classifier), dtype=logits.dtype)
    wanted = optax.losses.smooth_labels(wanted, smoothing)
    return optax.losses.softmax_cross_entropy(logits, wanted)


def batch_hard_triplet(
    features: jax.Array,
    labels: jax.Array,
    everyone: jax.Array,
    their_labels: jax.Array,
    *,
    margin: float,
) -> jax.Array:
    r"""Batch-hard triplet loss: the farthest of its own against the nearest other.

    .. math:: \left[m + \max_{y_p = y_a} \lVert f_a - f_p \rVert -
        \min_{y_n \ne y_a} \lVert f_a - f_n \rVert\right]_+

    Args:
      features: float [A, D], the anchors.
      labels: int [A], their identities.
      everyone: float [B, D], the whole batch, the anchors among it.
      their_labels: int [B].
      margin: m, 0 or more.

    Returns:
      float [A], 0 or more; 0 for an anchor that has nobody else in the batch.

    Raises:
      InputError: shapes that do not fit, a margin below 0.

    >>> rows, y = jnp.array([[0.0], [1.0], [3.0]]), jnp.array([0, 0, 1])
    >>> batch_hard_triplet(rows, y, rows, y, margin=1.5).tolist()
    [0.0, 0.5, 0.0]

    Source: Hermans et al., In Defense of the Triplet Loss, 2017, eq (5).
    """
    for name, rows, of in (
        ("features", features, labels),
        ("everyone", everyone, their_labels),
    ):
        if rows.ndim != 2 or of.shape != rows.shape[:1]:
            raise InputError(
                f"{name} {rows.shape} and labels {of.shape} do not fit: give [B, D] "
                "and [B]"
            )
    if features.shape[1] != everyone.shape[1]:
        raise InputError(
            f"features {features.shape} do not fit everyone {everyone.shape}: give "
            "rows of one width"
        )
    if margin < 0:
        raise InputError(f"margin is {margin}: give 0 or more")
    product = jnp.matmul(features, everyone.T, precision=lax.Precision.HIGHEST)
    squares = jnp.sum(jnp.square(features), axis=1)[:, None] - 2 * product
    squares = squares + jnp.sum(jnp.square(everyone), axis=1)[None, :]
    apart = squares > _SAME
    distances = jnp.where(apart, jnp.sqrt(jnp.where(apart, squares, 1)), 0)
    own = labels[:, None] == their_labels[None, :]
    farthest = jnp.max(jnp.where(own, distances, 0), axis=1)
    nearest = jnp.min(jnp.where(own, jnp.inf, distances), axis=1)
    alone = jnp.isinf(nearest)
    loss = margin + farthest - jnp.where(alone, 0, nearest)
    return jnp.where(alone, 0, jnp.maximum(loss, 0))
