"""The variables that a new run starts from: drawn, or from weights."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from fgu_jax.config import Config
from fgu_jax.data import Images
from fgu_jax.inference.network import build_network
from fgu_jax.inference.passes import first_statistics
from fgu_jax.inference.trained import read_run
from fgu_jax.networks.weights import load_initial
from fgu_jax.parallel.mesh import AXIS, replicate


def first_variables(
    config: Config, mesh: Mesh, images: Images
) -> tuple[dict[str, Any], list[str]]:
    """Variables of a new run, on the mesh, and what is to be said of their weights.

    BatchNorm layers that the weights do not cover get their first statistics from
    training images.

    Args:
      config: the run's.
      mesh: devices.
      images: uint8 [N, H, W, 3].

    Raises:
      InputError: weights that cannot be had or do not fit.
    """
    random = _random(config)
    variables, report = load_initial(
        config.init,
        config.backbone,
        random,
        read_checkpoint=lambda path: read_run(path)[1],
    )
    new = [name for name in report.missing if name.startswith("batch_stats")]
    variables = replicate(variables, mesh)
    if new:
        variables["batch_stats"] = replicate(
            first_statistics(
                build_network(config, AXIS, bn_momentum=0.0),
                variables,
                images,
                mesh,
                batch_size=config.batch_size,
                heads_only=not any("backbone" in name for name in new),
            ),
            mesh,
        )
    return variables, [] if config.init == "random" else report.lines()


def _random(config: Config) -> dict[str, Any]:
    image = jnp.zeros((1, config.image_height, config.image_width, 3))
    initialise = jax.jit(functools.partial(build_network(config).init, train=False))
    return dict(initialise(jax.random.key(config.seed), image))
