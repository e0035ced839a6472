"""SGD as the paper's, or Adam: the rate by step, L2 decay, frozen parts."""

import jax
import optax

from fgu_jax import networks
from fgu_jax.config import Config

_WARM = 0.01  # of the rate, at the first step of a warm-up


def make_optimizer(
    config: Config, variables: dict, steps_per_epoch: int
) -> optax.GradientTransformation:
    """SGD with momentum or Adam; weight decay is added to the gradient, as PyTorch's.

    What lies below ``backbone`` has the first rate, the rest that of the heads; a patch
    generator that is not trained never changes.

    Args:
      config: which, its rates, their change, momentum and decay.
      variables: of the network, or their shapes.
      steps_per_epoch: what epochs count in.
    """

    def group(path, is_frozen):
        if is_frozen and not config.train_patch_generator:
            return "frozen"
        return "backbone" if path[0].key == "backbone" else "head"

    def at(rate):
        schedule = rate_schedule(config, steps_per_epoch, rate)
        steps = (
            optax.adam(schedule)
            if config.optimizer == "adam"
            else optax.sgd(schedule, config.momentum)
        )
        return optax.chain(optax.add_decayed_weights(config.weight_decay), steps)

    rate, head_rate = config.learning_rate, config.head_learning_rate
    frozen = networks.frozen_parameters(variables["params"])
    return optax.multi_transform(
        {
            "backbone": at(rate),
            "head": at(rate if head_rate is None else head_rate),
            "frozen": optax.set_to_zero(),
        },
        jax.tree_util.tree_map_with_path(group, frozen),
    )


def rate_schedule(config: Config, steps_per_epoch: int, rate: float) -> optax.Schedule:
    """A rate by step, counted from 0.

    Constant, but times ``lr_drop_factor`` from the end of ``lr_drop_epoch`` on; times
    0.01 to 1, evenly, over the ``warmup_epochs``; and from there times half a cosine,
    1 to 0 at the end of ``cosine_epoch``. With a ``restart_epoch`` this first cosine
    ends there, and a second, from ``restart_factor``, at ``cosine_epoch`` (a warm
    restart: Loshchilov and Hutter, SGDR, ICLR 2017).
    """
    drops = {}
    if config.lr_drop_epoch is not None:
        drops[config.lr_drop_epoch * steps_per_epoch] = config.lr_drop_factor
    dropped = optax.piecewise_constant_schedule(rate, drops)
    warm = config.warmup_epochs * steps_per_epoch
    if not warm and config.cosine_epoch is None:
        return dropped
    parts: list[optax.Schedule] = []
    begins: list[int] = []  # of each part
    if warm:
        parts.append(optax.linear_schedule(_WARM, 1.0, warm))
        begins.append(0)
    for first, last, height in _cosines(config):
        begins.append(first * steps_per_epoch)
        length = last * steps_per_epoch - begins[-1]
        parts.append(optax.cosine_decay_schedule(height, length))
    if config.cosine_epoch is None:
        parts.append(optax.constant_schedule(1.0))
        begins.append(warm)
    share = optax.join_schedules(parts, begins[1:])
    return lambda step: dropped(step) * share(step)


def _cosines(config: Config) -> list[tuple[int, int, float]]:
    """Half cosines: the epochs after which each begins and ends, its first height."""
    first, again, last = config.warmup_epochs, config.restart_epoch, config.cosine_epoch
    if last is None:
        return []
    if again is None:
        return [(first, last, 1.0)]
    return [(first, again, 1.0), (again, last, config.restart_factor)]
