"""The network of a configuration, and its shapes."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from fgu_jax import networks
from fgu_jax.config import Config


def build_network(
    config: Config, axis_name: str | None = None, bn_momentum: float = 0.9
) -> networks.Network:
    """The network of a configuration, its weights not yet there."""
    return networks.build(
        config.backbone,
        num_patches=config.num_patches,
        patch_dim=config.patch_dim,
        patch_generator=config.patch_generator,
        pooling=config.pooling,
        neck=config.neck,
        dtype=jnp.dtype(config.precision),
        axis_name=axis_name,
        bn_momentum=bn_momentum,
        bn_group=config.batch_norm_group,
    )


def variable_shapes(config: Config) -> dict[str, Any]:
    """``params`` and ``batch_stats`` as shapes and dtypes; nothing is computed."""
    size = config.image_height, config.image_width
    found = _shapes(build_network(config), size, jax.dtypes.canonicalize_dtype(float))
    return jax.tree.map(lambda shape: shape, found)  # the caller's own


@functools.lru_cache(maxsize=4)  # a start asks more than once, and tracing takes time
def _shapes(network: Any, size: tuple[int, int], _widest: Any) -> dict[str, Any]:
    image = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
    initialise = functools.partial(network.init, train=False)
    return jax.eval_shape(initialise, jax.random.key(0), image)
