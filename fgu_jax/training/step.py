"""The training step of one device, and the one helper that maps it over a mesh.

The step is written for one device with a named axis ``data``. ``map_over_devices``
runs it by ``jax.jit(jax.shard_map(...))``; ``jax.pmap`` runs it unchanged.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from fgu_jax.config import TRACED, Config
from fgu_jax.parallel.mesh import AXIS, WHOLE, map_over_devices
from fgu_jax.training import tables
from fgu_jax.training.augment import augment, image_keys
from fgu_jax.training.state import LOSSES, TrainState

Batch = Mapping[str, jax.Array]


def make_train_step(
    network: Any,
    optimizer: optax.GradientTransformation,
    config: Config,
    steps_per_epoch: int,
) -> Callable[..., tuple[TrainState, dict]]:
    """The step of one device: losses, gradient, optimiser and both memory updates.

    The returned function takes

    - ``state``: ``TrainState``, the same on every device; with ``shard_tables`` each
      has its own rows of V, c and W;
    - ``images``: uint8 [N, H, W, 3], the training images where they live on the
      device, else ``None``;
    - ``batch``: ``index`` int32 [b], rows of this device's part of the batch, and,
      where ``images`` is ``None``, ``image`` uint8 [b, H, W, 3];
    - ``weights``, optional: numbers by the names of ``TRACED``, each in place of the
      field, which is compiled in. A ``patch_weight`` of 0 in the config leaves the
      local branch out, whatever is given;

    and gives the next state and the batch's mean losses (FGU eq (7) and its parts).
    It must run under a mapped axis named ``data``.
    """

    modes = batch_norm_modes(config)
    of_tables = tables.CUT if config.shard_tables else tables.WHOLE

    compiled_in = {name: getattr(config, name) for name in TRACED}

    def train_step(state, images, batch, weights=None):
        weight = compiled_in | (weights or {})
        index = batch["index"]
        pixels = augmented(
            config,
            images,
            batch,
            keys=image_keys(state.key, state.step // steps_per_epoch, index),
            dtype=state.cluster_memory.dtype,
        )
        labels = state.labels[index]
        temperature = _temperature(config, state.step, steps_per_epoch)
        attract_weight = _attract_weight(config, state, weight["attract_weight"])

        def loss_of(params):
            features, updated = network.apply(
                {"params": params, "batch_stats": state.batch_stats},
                pixels,
                **modes,
                mutable=["batch_stats"],
            )
            everyone = tables.gather(features, labels, index)
            own = {"labels": labels, "index": index}
            each = of_tables.losses(
                config, state, features, temperature, batch=everyone, **own
            )
            repelled, attracted = jnp.mean(each[0]), jnp.mean(each[1])
            total = weight["global_weight"] * (repelled + attract_weight * attracted)
            patch = jnp.zeros((), total.dtype)
            if each[2] is not None:
                patch = jnp.mean(each[2])
                total = total + weight["patch_weight"] * patch
            parts = (total, repelled, attract_weight * attracted, patch)
            return total, (parts, everyone, updated["batch_stats"])

        grad, (parts, everyone, batch_stats) = jax.grad(loss_of, has_aux=True)(
            state.params
        )
        grad = lax.pmean(grad, AXIS)
        parts = lax.pmean(parts, AXIS)
        updates, opt_state = optimizer.update(grad, state.opt_state, state.params)
        grad_norm = optax.tree.norm(grad)
        written = tables.wait_for_gradient(everyone, grad_norm)
        cluster_memory, patch_memory = of_tables.updated(config, state, written)
        named = dict(zip(LOSSES, parts, strict=True))
        params = optax.apply_updates(state.params, updates)
        if config.teacher > 0:
            student = {"params": params, "batch_stats": batch_stats}
            new = optax.incremental_update(student, state.teacher, 1 - config.teacher)
            state = state.replace(teacher=new)
        new_state = state.replace(
            step=state.step + 1,
            params=params,
            batch_stats=batch_stats,
            opt_state=opt_state,
            cluster_memory=cluster_memory,
            patch_memory=patch_memory,
            sums={name: state.sums[name] + named[name] for name in named},
        )
        return new_state, named | {"grad_norm": grad_norm}

    return train_step


def augmented(
    config: Config, images: Any, batch: Batch, *, keys: jax.Array, dtype: Any
) -> jax.Array:
    """The batch's images as the network sees them, float [b, H, W, 3] in 0..1.

    Args:
      config: how they are augmented.
      images, batch: as the step takes them.
      keys: PRNG keys [b].
      dtype: of the pixels.
    """
    raw = batch["image"] if images is None else images[batch["index"]]
    return augment(
        keys,
        raw.astype(dtype) / 255,
        crop=config.crop,
        pad=config.pad,
        flip=config.flip,
        color_jitter=config.color_jitter,
        erasing=config.erasing,
    )


def batch_norm_modes(config: Config) -> dict[str, bool]:
    """How a step calls the network: which of its BatchNorm take the batch."""
    # The heads are new and have no statistics worth keeping.
    kept = {"train": False, "train_heads": True}
    return kept if config.keep_statistics else {"train": True}


def _temperature(
    config: Config, step: jax.Array, steps_per_epoch: int
) -> float | jax.Array:
    """tau of a step: one number, or by equal ratios from one to another.

    >>> config = Config(last_temperature=0.025, last_temperature_epoch=4)
    >>> [round(float(_temperature(config, step, 2)), 3) for step in (0, 4, 8, 9)]
    [0.1, 0.05, 0.025, 0.025]
    """
    if config.last_temperature is None:
        return config.temperature
    done = jnp.minimum(step / (config.last_temperature_epoch * steps_per_epoch), 1.0)
    ratio = config.last_temperature / config.temperature
    return config.temperature * ratio ** done.astype(jnp.float32)


def _attract_weight(config: Config, state: TrainState, beta: Any) -> jax.Array:
    """``beta``, and 0 as long as no clusters have merged.

    Until then each image is its own centre: the term would only tie it to its old
    feature. A traced weight, so that a merge compiles nothing.
    """
    started = state.num_clusters < state.labels.shape[0]
    if config.attract_start == "always":
        started = jnp.ones_like(started)
    return jnp.where(started, beta, 0).astype(state.cluster_memory.dtype)


def mapped_train_step(
    train_step: Callable, mesh: Mesh, state_specs: Any = WHOLE
) -> Callable:
    """The train step over the mesh: images whole, the batch cut, the state as it says.

    The state is donated: the one passed in may not be used again. The step's optional
    ``weights`` are given last, whole, or not at all.
    """
    return map_over_devices(
        train_step,
        mesh,
        in_specs=(state_specs, P(), P(AXIS)),
        out_specs=(state_specs, P()),
        donate=(0,),
    )


def chunked_train_step(
    train_step: Callable, mesh: Mesh, state_specs: Any = WHOLE
) -> Callable:
    """Several train steps in one dispatch, for images that live on the devices.

    The returned function takes ``state``; ``images``; ``index`` int32 [S, B], rows of
    S batches; ``count`` int32, how many of them are to be trained on; and, if given,
    the step's ``weights``. It gives the state after those, and losses [S] of each kind,
    0 from ``count`` on. One compiled program serves every ``count``. The state is
    donated.
    """

    def steps(state, images, index, count, *weights):
        def body(k, carry):
            state, seen = carry
            state, now = train_step(state, images, {"index": index[k]}, *weights)
            return state, {name: seen[name].at[k].set(now[name]) for name in now}

        first = {"index": index[0]}
        shapes = jax.eval_shape(train_step, state, images, first, *weights)[1]
        seen = {k: jnp.zeros(len(index), x.dtype) for k, x in shapes.items()}
        return lax.fori_loop(0, count, body, (state, seen))

    return map_over_devices(
        steps,
        mesh,
        in_specs=(state_specs, P(), P(None, AXIS), P()),
        out_specs=(state_specs, P()),
        donate=(0,),
    )
