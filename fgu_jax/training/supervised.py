"""The step with labels: classifiers of identities over the network's features.

It is of one device with a named axis ``data``, as the step without labels is, and is
mapped and fed by the same code (``step``, ``epoch``). The classifiers stand in the
state beside the network and are no part of it: a start takes the network alone.
"""

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from fgu_jax import losses
from fgu_jax.config import Config
from fgu_jax.losses.supervised import identity_logits
from fgu_jax.networks import global_dim
from fgu_jax.networks.network import Features
from fgu_jax.parallel.mesh import AXIS
from fgu_jax.training.augment import image_keys
from fgu_jax.training.optimizer import make_optimizer
from fgu_jax.training.step import augmented, batch_norm_modes

# Summed over the steps of an epoch.
MEANS = ("loss", "loss_identity", "loss_triplet", "accuracy")
_CLASSIFIERS = "classifiers"  # beside the network's parts, for the optimiser


class SupervisedState(flax.struct.PyTreeNode):
    """Network, classifiers, optimiser and labels."""

    step: jax.Array  # int32, batches seen
    params: dict
    batch_stats: dict
    opt_state: optax.OptState
    labels: jax.Array  # int32 [N], class of each image, 0..C-1
    classifiers: dict  # global [C, D], patches [U, C, d]
    sums: dict  # float32 sums of MEANS over this epoch
    key: jax.Array  # of augmentation


def first_classifiers(config: Config, num_classes: int) -> dict[str, jax.Array]:
    """Drawn classifiers, rows of about unit length: ``global`` [C, D], ``patches``.

    Args:
      config: the network's widths, and the seed.
      num_classes: C.
    """
    seed = jax.random.fold_in(jax.random.key(config.seed), num_classes)
    keys = jax.random.split(seed)
    width, patch = global_dim(config.backbone), config.patch_dim
    of_patches = (config.num_patches, num_classes, patch)
    return {
        "global": jax.random.normal(keys[0], (num_classes, width)) * width**-0.5,
        "patches": jax.random.normal(keys[1], of_patches) * patch**-0.5,
    }


def optimizer_of(
    config: Config, variables: dict, num_classes: int, steps_per_epoch: int
) -> optax.GradientTransformation:
    """The optimiser of network and classifiers; these have the rate of the heads.

    Args:
      config: its rates.
      variables: of the network, or their shapes.
      num_classes: C.
      steps_per_epoch: what epochs count in.
    """
    shapes = jax.eval_shape(lambda: first_classifiers(config, num_classes))
    everything = {"params": trained(variables["params"], shapes)}
    return make_optimizer(config, everything, steps_per_epoch)


def create(
    variables: dict,
    classifiers: dict,
    labels: np.ndarray,
    *,
    optimizer: optax.GradientTransformation,
    seed: int,
) -> SupervisedState:
    """The state before the first step.

    Args:
      variables: ``params`` and ``batch_stats`` of the network.
      classifiers: as ``first_classifiers`` gives them.
      labels: int [N], class of each image.
      optimizer: ``optimizer_of``'s.
      seed: of augmentation.
    """
    params = variables["params"]
    return SupervisedState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables["batch_stats"],
        opt_state=optimizer.init(trained(params, classifiers)),
        labels=jnp.asarray(labels, jnp.int32),
        classifiers=classifiers,
        sums=zero_sums(),
        key=jax.random.key(seed),
    )


def trained(params: dict, classifiers: dict) -> dict[str, Any]:
    """All that the optimiser changes, as one tree."""
    return {**params, _CLASSIFIERS: classifiers}


def zero_sums() -> dict[str, jax.Array]:
    """The sums at the start of an epoch."""
    return {name: jnp.zeros((), jnp.float32) for name in MEANS}


def make_supervised_step(
    network: Any,
    optimizer: optax.GradientTransformation,
    config: Config,
    steps_per_epoch: int,
) -> Callable[..., tuple[SupervisedState, dict]]:
    """The step of one device: loss of identities and triplets, gradient, optimiser.

    The returned function takes ``state``, ``images`` and ``batch`` as the one of
    ``step.make_train_step`` does (``weights`` are not looked at), and gives the next
    state and the batch's means. It must run under a mapped axis named ``data``.
    """
    modes = batch_norm_modes(config)

    def supervised_step(state, images, batch, weights=None):
        del weights
        index = batch["index"]
        labels = state.labels[index]
        pixels = augmented(
            config,
            images,
            batch,
            keys=image_keys(state.key, state.step // steps_per_epoch, index),
            dtype=state.classifiers["global"].dtype,
        )

        def loss_of(both):
            params = {k: v for k, v in both.items() if k != _CLASSIFIERS}
            variables = {"params": params, "batch_stats": state.batch_stats}
            features, updated = network.apply(
                variables, pixels, **modes, mutable=["batch_stats"]
            )
            means = batch_means(config, features, both[_CLASSIFIERS], labels)
            return means["loss"], (means, updated["batch_stats"])

        both = trained(state.params, state.classifiers)
        grad, (means, batch_stats) = jax.grad(loss_of, has_aux=True)(both)
        grad, means = lax.pmean((grad, means), AXIS)
        updates, opt_state = optimizer.update(grad, state.opt_state, both)
        both = dict(optax.apply_updates(both, updates))
        new_state = state.replace(
            step=state.step + 1,
            classifiers=both.pop(_CLASSIFIERS),
            params=both,
            batch_stats=batch_stats,
            opt_state=opt_state,
            sums={name: state.sums[name] + means[name] for name in MEANS},
        )
        return new_state, means | {"grad_norm": optax.tree.norm(grad)}

    return supervised_step


def batch_means(
    config: Config, features: Features, classifiers: dict, labels: jax.Array
) -> dict[str, jax.Array]:
    """Means of this device's examples, by the names of ``MEANS``.

    The loss of identities is the mean over the global feature and U patches, where
    PAUL's code adds up those of the patches alone. Triplets are of the global feature,
    and look for theirs in the batch of all devices; the gather is differentiated, so
    that the mean of the devices' gradients is that of one device.
    """
    like = {"temperature": config.temperature, "smoothing": config.label_smoothing}

    def of_part(rows, classifier):
        return losses.identity_loss(rows, classifier, labels, **like)

    rows, table = features.global_features, classifiers["global"]
    of_patches = jax.vmap(of_part)(features.patches, classifiers["patches"])
    parts = jnp.concatenate([of_part(rows, table)[None], of_patches])
    identity, triplet = jnp.mean(parts), jnp.zeros((), parts.dtype)
    if config.triplet_margin is not None:
        triplet = jnp.mean(
            losses.batch_hard_triplet(
                rows,
                labels,
                lax.all_gather(rows, AXIS, tiled=True),
                lax.all_gather(labels, AXIS, tiled=True),
                margin=config.triplet_margin,
            )
        )
    found = jnp.argmax(identity_logits(rows, table, temperature=1.0), axis=1)
    right = jnp.mean((found == labels).astype(parts.dtype))
    return dict(zip(MEANS, (identity + triplet, identity, triplet, right), strict=True))
