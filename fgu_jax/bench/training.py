"""What the pieces that train begin with: a network, a step, a state of drawn tables."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from fgu_jax.config import Config
from fgu_jax.inference.network import build_network, variable_shapes
from fgu_jax.parallel.mesh import AXIS, replicate
from fgu_jax.training.optimizer import make_optimizer
from fgu_jax.training.state import TrainState, create
from fgu_jax.training.step import make_train_step


def new_variables(config: Config) -> dict[str, Any]:
    """``params`` and ``batch_stats`` of the configuration's network, at random."""
    image = np.zeros((1, config.image_height, config.image_width, 3), np.float32)
    network = build_network(config)
    return jax.jit(lambda key: network.init(key, image, train=False))(jax.random.key(0))


def rested_variables(config: Config, images: np.ndarray) -> dict[str, Any]:
    """New weights with the statistics of these images.

    With those that a network begins with, what rounding changes grows through it.
    """
    variables = new_variables(config)
    network = build_network(config, bn_momentum=0.0)
    pixels = images.astype(np.float32) / 255
    _, seen = jax.jit(
        lambda variables: network.apply(
            variables, pixels, train=True, mutable=["batch_stats"]
        )
    )(variables)
    return jax.device_get(variables | seen)


def begin(
    config: Config,
    variables: dict[str, Any],
    mesh: Mesh,
    *,
    cluster_memory: np.ndarray,
    patch_memory: np.ndarray,
) -> tuple[Callable, TrainState]:
    """The step of one device, and the state on the mesh before the first.

    Args:
      config: of the run.
      variables: of its network.
      mesh: the devices.
      cluster_memory: float32 [N, D], V.
      patch_memory: float32 [U, N, d], W.
    """
    steps_per_epoch = len(cluster_memory) // config.batch_size
    optimizer = make_optimizer(config, variables, steps_per_epoch)
    state = create(
        variables=variables,
        optimizer=optimizer,
        global_features=cluster_memory,
        patches=patch_memory,
        seed=0,
    )
    network = build_network(config, AXIS)
    step = make_train_step(network, optimizer, config, steps_per_epoch)
    return step, replicate(state, mesh)


def forward_operations(config: Config, batch: int = 1) -> float:
    """Floating-point operations of the network over a batch, as XLA counts them."""
    shape = (batch, config.image_height, config.image_width, 3)
    images = jax.ShapeDtypeStruct(shape, np.float32)

    def forward(variables, images):
        return build_network(config).apply(variables, images, train=False)

    cost: Any = jax.jit(forward).lower(variable_shapes(config), images).cost_analysis()
    return float(cost["flops"])
