"""A watch on the run: what can be seen to go wrong, within an epoch and between two.

Losses and gradients that are not finite end a run within the epoch. Before the first
epoch and after each: a cluster that swallows the images, features that collapse to a
point, memory rows that are not of unit length. The figures stand in ``metrics.jsonl``;
what is complained of depends on them and on the configuration alone.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np

from fgu_jax.config import Config
from fgu_jax.errors import InputError
from fgu_jax.parallel import processes
from fgu_jax.training.left_out import Refused
from fgu_jax.training.state import TrainState

# A cluster is large only beside the others: of 5 clusters one may well hold a third.
_TIMES_EVEN_SHARE = 5
_UNIT_TOLERANCE = 1e-3  # float32 rows are unit to 2e-7


class FiniteLosses:
    """Refuses losses that are not finite, late, so that no device waits for the host.

    ``push`` keeps a step's losses; about once a second those of all but the newest
    steps are fetched and checked.

    Raises:
      InputError: a loss or gradient is not finite; epoch, step and what to try.
    """

    def __init__(self, epoch: int, *, every: float = 1.0, most: int = 64):
        self._epoch, self._every, self._most = epoch, every, most
        self._pending: list[tuple[int, dict]] = []
        self._last = time.monotonic()

    def push(self, step: int, losses: dict) -> bool:
        """Keeps losses; true where the host looked at older ones.

        Args:
          step: the step that they are of, or the first of several.
          losses: scalars, or arrays [S] of S steps in a row.
        """
        self._pending.append((step, losses))
        # Several processes must find a loss that is not finite at the same step.
        due = not processes.several() and time.monotonic() - self._last > self._every
        if not due and len(self._pending) < self._most:
            return False
        self.check(all_but=1)
        self._last = time.monotonic()
        return True

    def check(self, *, all_but: int = 0) -> None:
        """Fetches what was pushed and refuses what is not finite."""
        cut = len(self._pending) - all_but
        ready, self._pending = self._pending[:cut], self._pending[cut:]
        values = jax.device_get([losses for _, losses in ready])
        for (step, _), losses in zip(ready, values, strict=True):
            table = np.stack([np.atleast_1d(x) for x in losses.values()], axis=1)
            wrong = np.argwhere(~np.isfinite(table))
            if len(wrong):
                later, which = wrong[0]
                raise InputError(
                    f"{list(losses)[which]} is {table[later, which]} in epoch "
                    f"{self._epoch}, step {step + later}: the last checkpoint stays; "
                    "try a lower learning_rate, or another seed"
                )


def figures(config: Config, state: TrainState) -> dict[str, float]:
    """What the watch looks at, for the log.

    Args:
      config: the run's; it says whether rows are of clusters or of images.
      state: after an epoch, or before the first.

    Returns:
      ``largest_cluster``: share of the images in the largest cluster; ``spread`` and
      ``patch_spread``: 1 - the mean cosine of two different rows of V, and of W (that
      of the patch where it is least), whatever their length. 0 means that all rows are
      one point. Before the first step the centres stand for a V of clusters, which may
      be zeros.
    """
    clusters = np.asarray(jax.device_get(state.labels))
    of_v, of_w = _live_rows(config, state)
    begins = int(state.step) == 0 and config.memory_rows == "clusters"
    table = state.centres if begins else state.cluster_memory
    spreads = jax.device_get(_spreads(table, of_v, state.patch_memory, of_w))
    return {
        "largest_cluster": float(
            np.bincount(clusters[clusters >= 0]).max() / len(clusters)
        ),
        "spread": float(spreads[0]),
        "patch_spread": float(spreads[1].min()),
    }


def _live_rows(config: Config, state: TrainState) -> tuple[int, int]:
    """How many first rows of V and of W are in use; before any merge C is N."""
    images, clusters = state.labels.shape[0], int(state.num_clusters)
    return (
        images if config.memory_rows == "images" else clusters,
        clusters if config.patch_loss == "clusters" else images,
    )


def check(
    config: Config,
    state: TrainState,
    record: dict,
    history: list[dict],
    *,
    refused: Refused | None = None,
) -> list[str]:
    """What is wrong after an epoch or before the first, a line each: what to try.

    With ``watch=warn`` a large cluster and a collapse are told of when they come up,
    not again at every epoch that they last.

    Args:
      config: the run's; ``watch`` says what to do.
      state: after the epoch.
      record: the epoch's, with ``figures``.
      history: the records before, from epoch 0; none at epoch 0 itself.
      refused: why new clusters were not taken, where they were not.

    Returns:
      Warnings; none with ``watch=off``.

    Raises:
      InputError: a figure is not finite, whatever ``watch`` says.
    """
    for name in ("spread", "patch_spread"):
        if not np.isfinite(record[name]):
            raise InputError(f"{name} of the memory is {record[name]} {_when(record)}")
    if config.watch == "off":
        return []
    first, before = (history[0], history[-1]) if history else ({}, {})
    if config.watch == "stop":
        before = {}
    return [
        f"epoch {record['epoch']}: {complaint}"
        for complaint in (
            _not_regrouped(config, record, refused),
            _few_clusters(config, record, before),
            _large_cluster(config, record, before),
            _collapse(config, record, before, first),
            *_rows_not_unit(config, state),
        )
        if complaint
    ]


def _when(record: dict) -> str:
    if record["epoch"] == 0:
        return "before the first epoch: give another init, or another seed"
    return (
        f"after epoch {record['epoch']}: the last checkpoint stays; try a lower "
        "learning_rate, or another seed"
    )


def _not_regrouped(config: Config, record: dict, refused: Refused | None) -> str | None:
    if refused is None:
        return None
    if refused == "together":
        found, mend = "all images were in one cluster", _smaller_clusters
    else:
        found, mend = "no image was in a cluster with another", _larger_clusters
    return (
        f"{found}: the {record['clusters']} clusters before stay; "
        f"{mend(config, record)}"
    )


def _few_clusters(config: Config, record: dict, before: dict) -> str | None:
    if config.images_a_cluster is None:
        return None
    at_once = config.batch_size // config.images_a_cluster
    if not record["clusters"] < at_once <= before.get("clusters", at_once):
        return None
    more = "a smaller merge_fraction"
    if config.clustering == "kmeans":
        more = "more kmeans_clusters"
    elif config.distance == "jaccard":
        more = "a max_distance that leaves more clusters"
    return (
        f"{record['clusters']} clusters, and a batch is of {at_once}: each comes into "
        f"it more than once; try a smaller batch_size, or {more}"
    )


def _large_cluster(config: Config, record: dict, before: dict) -> str | None:
    def too_large(figures: dict) -> bool:
        share, clusters = figures.get("largest_cluster", 0), figures.get("clusters", 1)
        return share > max(config.watch_cluster_share, _TIMES_EVEN_SHARE / clusters)

    if not too_large(record) or too_large(before):
        return None
    return (
        f"one of {record['clusters']} clusters holds "
        f"{100 * record['largest_cluster']:.0f}% of the images (watch_cluster_share "
        f"is {config.watch_cluster_share}): {_smaller_clusters(config, record)}"
    )


def _smaller_clusters(config: Config, record: dict) -> str:
    """What to try against a large cluster, by how clusters are made."""
    if config.clustering == "kmeans":
        return "try more kmeans_clusters"
    less = "a smaller merge_fraction or an earlier merge_stop"
    if config.distance == "jaccard":
        less = _smaller_distance(config, record)
    if config.merge_criterion in ("min", "dbscan"):
        return f"merges chain; try merge_criterion=average, {less}"
    return f"try {less}"


def _larger_clusters(config: Config, record: dict) -> str:
    """What to try where no cluster has two images, by how clusters are made."""
    if config.clustering == "kmeans":
        return "try fewer kmeans_clusters"
    if config.distance == "jaccard":
        return "try a larger max_distance" + _or_last(config, record)
    return "try a larger merge_fraction"


def _smaller_distance(config: Config, record: dict) -> str:
    return "a smaller max_distance" + _or_last(config, record)


def _or_last(config: Config, record: dict) -> str:
    opened = config.merges_up_to(record["epoch"]) > config.max_distance
    return " or last_max_distance" if opened else ""


def _collapse(config: Config, record: dict, before: dict, first: dict) -> str | None:
    for name, what in (("spread", "global"), ("patch_spread", "patch")):
        least = config.watch_spread * first.get(name, 0)
        if record[name] < least <= before.get(name, least):
            lower = "learning_rate or weight_decay"
            if config.attract_weight > 0:
                lower = "learning_rate, weight_decay or attract_weight"
            return (
                f"{what} features collapse to a point: their spread (1 - mean cosine) "
                f"is {record[name]:.2g}, {100 * record[name] / first[name]:.2g}% of "
                f"the first, {first[name]:.2g} (watch_spread is "
                f"{config.watch_spread}); try a lower {lower}"
            )
    return None


def _rows_not_unit(config: Config, state: TrainState) -> list[str]:
    of_v, of_w = _live_rows(config, state)
    unmerged = int(state.num_clusters) == state.labels.shape[0]
    zeros_allowed = config.memory_start == "zeros" and unmerged
    length, row, patch_length, place = jax.device_get(
        _worst_rows(state.cluster_memory, of_v, state.patch_memory, of_w, zeros_allowed)
    )
    found = []
    # Written so that nan is wrong too.
    if not abs(length - 1) <= _UNIT_TOLERANCE:
        found.append((f"row {row} of the cluster memory V", length))
    if not abs(patch_length - 1) <= _UNIT_TOLERANCE:
        patch, row = divmod(int(place), state.patch_memory.shape[1])
        found.append((f"row {row} of the patch memory W, patch {patch},", patch_length))
    return [
        f"{what} has length {size:.4g}, not 1: what is computed from it is wrong; go "
        "on from an older checkpoint, and try other devices or precision=float32"
        for what, size in found
    ]


@jax.jit
def _spreads(
    table: jax.Array, of_v: int, patches: jax.Array, of_w: int
) -> tuple[jax.Array, jax.Array]:
    """1 - mean cosine of two different rows: of V's live ones, and of each patch's.

    Rows of V from ``of_v`` on are dead, and those of W from ``of_w`` on.
    """

    def spread(rows, counted):
        # As the variance about the mean, in which nothing cancels.
        count = jnp.maximum(counted.sum(), 2).astype(jnp.float32)
        counted = counted[:, None].astype(jnp.float32)
        rows = rows.astype(jnp.float32)
        # Centres of several images are shorter than 1, and no cosine is of them.
        length = jnp.sqrt(jnp.sum(rows**2, axis=1, keepdims=True))
        rows = rows / jnp.maximum(length, jnp.finfo(jnp.float32).tiny)
        mean = jnp.sum(rows * counted, axis=0, keepdims=True) / count
        return jnp.sum((rows - mean) ** 2 * counted) / (count - 1)

    live = jnp.arange(len(table)) < of_v
    live &= jnp.any(table != 0, axis=1)  # no image of it came yet
    of_patches = jnp.arange(patches.shape[1]) < of_w
    return spread(table, live), jax.lax.map(lambda x: spread(x, of_patches), patches)


@jax.jit
def _worst_rows(table, of_v, patches, of_w, zeros_allowed):
    """Length and place of the rows of V and W that are farthest from unit length."""

    def worst(length):
        # argmax takes the first nan for the largest, as it should.
        place = jnp.argmax(jnp.abs(length - 1))
        return length[place], place

    def lengths(rows):
        return jnp.sqrt(jnp.sum(rows.astype(jnp.float32) ** 2, axis=-1))

    length = lengths(table)
    passed = jnp.arange(len(table)) >= of_v
    passed |= zeros_allowed & (length == 0)
    dead = jnp.arange(patches.shape[1])[None, :] >= of_w
    return (
        *worst(jnp.where(passed, 1.0, length)),
        *worst(jnp.where(dead, 1.0, lengths(patches)).reshape(-1)),
    )
