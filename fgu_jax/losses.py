"""The losses of FGU: repelled and attracted (RAFL), and the patch loss (PEDAL).

Each is a pure function that gives one value an example; the caller reduces. All
are made from *partial statistics* of a block of table rows (maximum, sum of
exponentials, the largest k), so that a table cut by rows over several devices
needs no other loss: statistics of blocks are combined, then finished.

Products ask for ``Precision.HIGHEST``: float32 would otherwise be TF32 on NVIDIA
and bfloat16 on TPU.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from fgu_jax.errors import InputError

__all__ = [
    "Partials",
    "PatchPartials",
    "attracted_loss",
    "combine",
    "combine_patch",
    "pedal_loss",
    "pedal_partials",
    "rafl_loss",
    "repelled_loss",
    "repelled_partials",
]


class Partials(NamedTuple):
    """What a block of cluster-memory rows says of a batch: [B] each.

    ``log(total) + maximum`` is the logsumexp over the block; ``target`` is the
    logit of the example's own cluster if the block holds it, else 0.
    """

    maximum: jax.Array
    total: jax.Array
    target: jax.Array


class PatchPartials(NamedTuple):
    """What a block of patch-memory rows says of a batch of patches.

    ``maximum`` and ``total`` are [U, B]; ``nearest`` [U, B, k] holds the block's k
    largest exponents e_j, in falling order.
    """

    maximum: jax.Array
    total: jax.Array
    nearest: jax.Array


def repelled_loss(
    features: jax.Array,
    table: jax.Array,
    labels: jax.Array,
    *,
    temperature: float | jax.Array = 0.1,
    num_clusters: int | jax.Array | None = None,
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

    Returns:
      float [B], 0 or more.

    Raises:
      InputError: shapes that do not fit, a label outside the table, tau <= 0.

    >>> V = jnp.eye(2)
    >>> round(float(repelled_loss(V[:1], V, jnp.array([0]), temperature=1.0)[0]), 4)
    0.3133

    Source: FGU eqs (1)-(2); Lin et al., BUC, AAAI 2019, eqs (1)-(2).
    """
    _check_table("cluster memory", features, table, labels, "labels")
    _check_positive("temperature", temperature)
    partials = repelled_partials(
        features, table, labels, temperature=temperature, num_clusters=num_clusters
    )
    return partials.maximum + jnp.log(partials.total) - partials.target


def repelled_partials(
    features: jax.Array,
    table: jax.Array,
    labels: jax.Array,
    *,
    temperature: float | jax.Array,
    num_clusters: int | jax.Array | None,
    first_row: int | jax.Array = 0,
) -> Partials:
    """Partial statistics of eq (1) over the rows ``first_row + 0..R-1`` of V.

    Args:
      features: float [B, D].
      table: float [R, D], a block of V.
      labels: int [B], rows of the whole V.
      temperature: tau.
      num_clusters: C of the whole V; ``None``: every row of the block is alive.
      first_row: row of V at which the block begins.

    Returns:
      ``Partials`` of [B]; ``maximum`` is -inf where the block holds no live row.
    """
    product = jnp.matmul(
        features, lax.stop_gradient(table).T, precision=lax.Precision.HIGHEST
    )
    rows = first_row + jnp.arange(table.shape[0], dtype=jnp.int32)
    logits = product / temperature
    if num_clusters is not None:
        logits = jnp.where((rows < num_clusters)[None, :], logits, -jnp.inf)
    own = rows[None, :] == labels[:, None]
    target = jnp.sum(jnp.where(own, logits, 0), axis=1)
    maximum, total = _maximum_and_total(logits)
    return Partials(maximum, total, target)


def combine(a: Partials, b: Partials) -> Partials:
    """Statistics of two disjoint blocks of rows as those of their union."""
    maximum, total = _combine_totals(a, b)
    return Partials(maximum, total, a.target + b.target)


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
    _check_table("centres", features, centres, labels, "labels")
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
        features, table, labels, temperature=temperature, num_clusters=num_clusters
    )
    return repelled + attract_weight * attracted_loss(features, centres, labels)


def pedal_loss(
    patches: jax.Array,
    table: jax.Array,
    indices: jax.Array,
    *,
    scale: float | jax.Array,
    num_neighbors: int = 15,
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

    Returns:
      float [U, B], 0 or more; 0 exactly where k = N - 1.

    Raises:
      InputError: shapes that do not fit, an index outside W, k outside 1..N-1.

    >>> W = jnp.array([[[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]])
    >>> x = W[:, :1]
    >>> loss = pedal_loss(x, W, jnp.array([0]), scale=1.0, num_neighbors=1)
    >>> round(float(loss[0, 0]), 4)  # log(e^-1 + e^-2) - log(e^-1)
    0.3133

    Source: FGU eq (6); Yang et al., PAUL, CVPR 2019, eq (2).
    """
    _check_patches(patches, table, indices)
    check_num_neighbors(num_neighbors, table.shape[1])
    _check_positive("scale", scale)
    partials = pedal_partials(
        patches, table, indices, scale=scale, num_neighbors=num_neighbors
    )
    everything = partials.maximum + jnp.log(partials.total)
    return everything - jax.nn.logsumexp(partials.nearest, axis=-1)


def pedal_partials(
    patches: jax.Array,
    table: jax.Array,
    indices: jax.Array,
    *,
    scale: float | jax.Array,
    num_neighbors: int,
    first_row: int | jax.Array = 0,
) -> PatchPartials:
    """Partial statistics of eq (6) over the rows ``first_row + 0..R-1`` of W.

    Args:
      patches: float [U, B, d].
      table: float [U, R, d], a block of W.
      indices: int [B], rows of the whole W.
      scale: s.
      num_neighbors: k, at most R.
      first_row: row of W at which the block begins.

    Returns:
      ``PatchPartials``.
    """
    table = lax.stop_gradient(table)
    product = jnp.einsum(
        "ubd,und->ubn", patches, table, precision=lax.Precision.HIGHEST
    )
    squares = jnp.sum(jnp.square(patches), axis=-1)[:, :, None]
    squares = squares + jnp.sum(jnp.square(table), axis=-1)[:, None, :]
    exponents = -0.5 * scale * (squares - 2 * product)
    rows = first_row + jnp.arange(table.shape[1], dtype=jnp.int32)
    own = rows[None, None, :] == indices[None, :, None]
    exponents = jnp.where(own, -jnp.inf, exponents)
    maximum, total = _maximum_and_total(exponents)
    return PatchPartials(maximum, total, lax.top_k(exponents, num_neighbors)[0])


def combine_patch(a: PatchPartials, b: PatchPartials) -> PatchPartials:
    """Patch statistics of two disjoint blocks of rows as those of their union."""
    maximum, total = _combine_totals(a, b)
    nearest = jnp.concatenate([a.nearest, b.nearest], axis=-1)
    k = max(a.nearest.shape[-1], b.nearest.shape[-1])
    return PatchPartials(maximum, total, lax.top_k(nearest, k)[0])


def check_num_neighbors(num_neighbors: int, num_images: int) -> None:
    """Refuses a k that the N - 1 other images cannot give."""
    if not 1 <= num_neighbors < num_images:
        raise InputError(
            f"num_neighbors is {num_neighbors} but {num_images} images leave each "
            f"patch {num_images - 1} others: use 1 to {num_images - 1}"
        )


def _maximum_and_total(values: jax.Array) -> tuple[jax.Array, jax.Array]:
    maximum = lax.stop_gradient(jnp.max(values, axis=-1))
    # A block without a live row has maximum -inf; -inf - -inf would be nan.
    shift = jnp.where(jnp.isfinite(maximum), maximum, 0)
    return maximum, jnp.sum(jnp.exp(values - shift[..., None]), axis=-1)


def _combine_totals(
    a: Partials | PatchPartials, b: Partials | PatchPartials
) -> tuple[jax.Array, jax.Array]:
    maximum = jnp.maximum(a.maximum, b.maximum)
    shift = jnp.where(jnp.isfinite(maximum), maximum, 0)
    total = a.total * jnp.exp(a.maximum - shift) + b.total * jnp.exp(b.maximum - shift)
    return maximum, total


def _check_table(what, features, table, labels, label_name) -> None:
    if features.ndim != 2 or table.ndim != 2 or features.shape[1] != table.shape[1]:
        raise InputError(
            f"features {features.shape} do not fit the {what} {table.shape}: "
            "give [B, D] and [C, D] of one width D"
        )
    _check_rows(label_name, labels, features.shape[0], table.shape[0])


def _check_patches(patches, table, indices) -> None:
    fits = patches.ndim == 3 and table.ndim == 3
    if not fits or (patches.shape[0], patches.shape[2]) != (
        table.shape[0],
        table.shape[2],
    ):
        raise InputError(
            f"patches {patches.shape} do not fit the patch memory {table.shape}: "
            "give [U, B, d] and [U, N, d]"
        )
    _check_rows("indices", indices, patches.shape[1], table.shape[1])


def _check_rows(name, rows, batch, height) -> None:
    if rows.shape != (batch,) or not jnp.issubdtype(rows.dtype, jnp.integer):
        raise InputError(
            f"{name} {rows.dtype}{list(rows.shape)} do not fit a batch of {batch}: "
            f"give int [{batch}]"
        )
    if isinstance(rows, jax.core.Tracer) or batch == 0:
        return  # inside a compiled call values cannot be looked at
    # NumPy, so that a constant inside a traced function is not traced as well.
    values = np.asarray(rows)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= height:
        raise InputError(
            f"{name} lie in {low}..{high} but the table has rows 0..{height - 1}"
        )


def _check_positive(name, value) -> None:
    if not isinstance(value, jax.Array) and value <= 0:
        raise InputError(f"{name} is {value}: give a number above 0")
