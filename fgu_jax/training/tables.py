"""What the step asks of V, c and W, whole on each device or cut by rows over them."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from fgu_jax import losses, memory
from fgu_jax.losses import sharded
from fgu_jax.losses.sharded import Gathered
from fgu_jax.parallel.mesh import AXIS
from fgu_jax.training.state import TrainState


class Tables(NamedTuple):
    """Two functions of one device, under the mapped axis ``data``.

    ``losses(config, state, features, temperature, *, batch, labels, index)`` gives
    repelled and attracted loss [b] and PEDAL [U, b] (``None`` where it has no weight)
    of the device's own examples; ``updated(config, state, batch)`` the next V and W.
    ``config`` and ``temperature`` are the step's, ``batch`` is the whole one.
    """

    losses: Callable[..., tuple[jax.Array, jax.Array, jax.Array | None]]
    updated: Callable[..., tuple[jax.Array, jax.Array]]


def gather(features: Any, labels: jax.Array, index: jax.Array) -> Gathered:
    """The whole batch in its order, as constants, from each device's part."""

    def everyone(x, axis=0):
        return lax.all_gather(lax.stop_gradient(x), AXIS, axis=axis, tiled=True)

    return Gathered(
        everyone(features.global_features),
        everyone(features.patches, axis=1),
        everyone(labels),
        everyone(index),
    )


def _by_cluster(config, state: TrainState) -> jax.Array:
    """V with a row a cluster."""
    if config.memory_rows == "images":
        return memory.means_by_cluster(state.cluster_memory, state.labels)
    return state.cluster_memory


def _centres(config, state: TrainState) -> jax.Array:
    return _by_cluster(config, state) if config.centres == "memory" else state.centres


def wait_for_gradient(batch: Gathered, norm: jax.Array) -> Gathered:
    """The batch, not before the gradient of this norm was taken.

    Tables are written in place only if all reads of them are known to be over, and an
    optimization barrier is gone when the compiler looks. What is not finite would end
    the run in any case.
    """
    done = jnp.isfinite(norm)
    return batch._replace(
        global_features=jnp.where(done, batch.global_features, jnp.nan),
        patches=jnp.where(done, batch.patches, jnp.nan),
    )


def _losses_of_whole(
    config, state: TrainState, features, temperature, *, batch, labels, index
):
    del batch
    if config.refines:
        own = {"labels": labels, "index": index}
        return _refined(config, state, features, temperature, **own)
    repelled = losses.repelled_loss(
        features.global_features,
        _by_cluster(config, state),
        labels,
        temperature=temperature,
        num_clusters=state.num_clusters,
    )
    attracted = losses.attracted_loss(
        features.global_features, _centres(config, state), labels
    )
    if config.patch_weight == 0:
        return repelled, attracted, None
    if config.patch_loss == "clusters":
        of_patch = functools.partial(
            losses.repelled_loss,
            temperature=temperature,
            num_clusters=state.num_clusters,
        )
        of_patches = jax.vmap(of_patch, in_axes=(0, 0, None))
        patch = of_patches(features.patches, state.patch_memory, labels)
        return repelled, attracted, patch
    patch = losses.pedal_loss(
        features.patches,
        state.patch_memory,
        index,
        scale=config.scale,
        num_neighbors=config.num_neighbors,
    )
    return repelled, attracted, patch


def _refined(config, state: TrainState, features, temperature, *, labels, index):
    assert state.agreement is not None
    found = losses.refined_losses(
        features.global_features,
        features.patches,
        _by_cluster(config, state),
        state.patch_memory,
        labels,
        state.agreement[:, index].astype(state.cluster_memory.dtype),
        refine=config.refine,
        smooth=config.smooth_patches,
        temperature=temperature,
        num_clusters=state.num_clusters,
    )
    attracted = losses.attracted_loss(
        features.global_features, _centres(config, state), labels
    )
    return found.repelled, attracted, found.patches


def _updated_whole(config, state: TrainState, batch: Gathered):
    def update(table, features, labels):
        return memory.update_cluster_memory(table, features, labels, **_rule(config))

    rows = batch.images if config.memory_rows == "images" else batch.labels
    cluster_memory = update(state.cluster_memory, batch.global_features, rows)
    if config.patch_loss == "clusters":
        of_patches = jax.vmap(update, in_axes=(0, 0, None))
        patches = of_patches(state.patch_memory, batch.patches, batch.labels)
        return cluster_memory, patches
    return cluster_memory, memory.update_patch_memory(
        state.patch_memory, batch.patches, batch.images, rate=config.patch_rate
    )


def _rule(config) -> dict[str, Any]:
    return {"rate": config.memory_rate, "hardest": config.memory_update == "hardest"}


def _each_patch(of_patch: Callable, batch: Gathered, *by_patch: jax.Array) -> jax.Array:
    """``of_patch(batch of one patch, ...)`` of each of the U patches."""

    def one(patches, *rest):
        return of_patch(batch._replace(global_features=patches), *rest)

    return jax.vmap(one)(batch.patches, *by_patch)


def _losses_of_shards(
    config, state: TrainState, features, temperature, *, batch, labels, index
):
    del labels, index
    repelled, attracted = sharded.rafl_losses(
        features.global_features,
        batch,
        state.cluster_memory,
        _centres(config, state),
        temperature=temperature,
        num_clusters=state.num_clusters,
        axis_name=AXIS,
    )
    if config.patch_weight == 0:
        return repelled, attracted, None
    if config.patch_loss == "clusters":

        def of_patch(batch, patches, table):
            return sharded.rafl_losses(
                patches,
                batch,
                table,
                table,
                temperature=temperature,
                num_clusters=state.num_clusters,
                axis_name=AXIS,
            )[0]

        patch = _each_patch(of_patch, batch, features.patches, state.patch_memory)
        return repelled, attracted, patch
    patch = sharded.pedal_loss(
        features.patches,
        batch,
        state.patch_memory,
        scale=config.scale,
        num_neighbors=config.num_neighbors,
        num_images=state.labels.shape[0],
        axis_name=AXIS,
    )
    return repelled, attracted, patch


def _updated_shards(config, state: TrainState, batch: Gathered):
    def update(batch, table):
        return sharded.update_cluster_memory(
            table, batch, axis_name=AXIS, **_rule(config)
        )

    cluster_memory = update(batch, state.cluster_memory)
    if config.patch_loss == "clusters":
        return cluster_memory, _each_patch(update, batch, state.patch_memory)
    return cluster_memory, sharded.update_patch_memory(
        state.patch_memory, batch, rate=config.patch_rate, axis_name=AXIS
    )


WHOLE = Tables(_losses_of_whole, _updated_whole)
CUT = Tables(_losses_of_shards, _updated_shards)
