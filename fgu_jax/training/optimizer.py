"""SGD as the paper's: momentum, a drop of the rate, L2 decay, frozen parts."""

import jax
import optax

from fgu_jax import networks
from fgu_jax.config import Config


def make_optimizer(
    config: Config, variables: dict, steps_per_epoch: int
) -> optax.GradientTransformation:
    """SGD with momentum; weight decay is added to the gradient (L2), as PyTorch does.

    What lies below ``backbone`` has the first rate, the rest that of the heads; a patch
    generator that is not trained never changes.

    Args:
      config: rates, their drop, momentum and decay.
      variables: of the network, or their shapes.
      steps_per_epoch: what ``lr_drop_epoch`` counts in.
    """

    def group(path, is_frozen):
        if is_frozen and not config.train_patch_generator:
            return "frozen"
        return "backbone" if path[0].key == "backbone" else "head"

    def sgd(rate):
        return optax.chain(
            optax.add_decayed_weights(config.weight_decay),
            optax.sgd(rate_schedule(config, steps_per_epoch, rate), config.momentum),
        )

    rate, head_rate = config.learning_rate, config.head_learning_rate
    frozen = networks.frozen_parameters(variables["params"])
    return optax.multi_transform(
        {
            "backbone": sgd(rate),
            "head": sgd(rate if head_rate is None else head_rate),
            "frozen": optax.set_to_zero(),
        },
        jax.tree_util.tree_map_with_path(group, frozen),
    )


def rate_schedule(config: Config, steps_per_epoch: int, rate: float) -> optax.Schedule:
    """A rate by step: constant, then times ``lr_drop_factor``."""
    drops = {}
    if config.lr_drop_epoch is not None:
        drops[config.lr_drop_epoch * steps_per_epoch] = config.lr_drop_factor
    return optax.piecewise_constant_schedule(rate, drops)
