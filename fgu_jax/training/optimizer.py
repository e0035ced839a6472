"""SGD as the paper's: momentum, a drop of the rate, L2 decay, frozen parts."""

from typing import Any

import jax
import optax

from fgu_jax import networks
from fgu_jax.config import Config


def optimizer_for(
    config: Config, variables: dict, steps_per_epoch: int
) -> optax.GradientTransformation:
    """SGD as the configuration has it, for variables or their shapes."""
    params = variables["params"]
    if config.train_patch_generator:
        frozen = jax.tree.map(lambda _: False, params)
    else:
        frozen = networks.frozen_parameters(params)
    drop = config.lr_drop_epoch
    return make_optimizer(
        learning_rate=config.learning_rate,
        head_learning_rate=config.head_learning_rate,
        drop_at_step=None if drop is None else drop * steps_per_epoch,
        drop_factor=config.lr_drop_factor,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        frozen=frozen,
    )


def make_optimizer(
    *,
    learning_rate: float,
    head_learning_rate: float | None,
    drop_at_step: int | None,
    drop_factor: float,
    momentum: float,
    weight_decay: float,
    frozen: Any,
) -> optax.GradientTransformation:
    """SGD with momentum; weight decay is added to the gradient (L2), as PyTorch does.

    Args:
      learning_rate: of the backbone, at first.
      head_learning_rate: of everything else; ``None``: the same.
      drop_at_step: step from which the rates are times ``drop_factor``.
      drop_factor: see there.
      momentum: of SGD.
      weight_decay: L2 coefficient.
      frozen: bool tree like the parameters; true leaves never change. What lies
        below ``backbone`` is the backbone, the rest are heads.
    """
    head_rate = learning_rate if head_learning_rate is None else head_learning_rate

    def group(path, is_frozen):
        if is_frozen:
            return "frozen"
        return "backbone" if path[0].key == "backbone" else "head"

    def sgd(rate):
        return optax.chain(
            optax.add_decayed_weights(weight_decay),
            optax.sgd(rate_schedule(rate, drop_at_step, drop_factor), momentum),
        )

    groups = jax.tree_util.tree_map_with_path(group, frozen)
    return optax.multi_transform(
        {
            "backbone": sgd(learning_rate),
            "head": sgd(head_rate),
            "frozen": optax.set_to_zero(),
        },
        groups,
    )


def rate_schedule(
    rate: float, drop_at_step: int | None, drop_factor: float
) -> optax.Schedule:
    """The rate by step: constant, then times ``drop_factor``."""
    drops = {} if drop_at_step is None else {drop_at_step: drop_factor}
    return optax.piecewise_constant_schedule(rate, drops)
