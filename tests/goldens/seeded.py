"""Weights and images from a seed, so that no file of weights is committed."""

import zlib
from functools import partial

import numpy as np


def array(name: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """The array that PyTorch calls ``name``; its arguments alone decide it."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    if name.endswith("running_var"):
        return rng.uniform(0.5, 1.5, shape)
    if name.endswith(("running_mean", "bias")):
        return rng.normal(0, 0.1, shape)
    if name.endswith(("cls_token", "pos_embed")):
        return rng.normal(0, 1, shape)
    if len(shape) == 1:
        return rng.uniform(0.4, 0.8, shape)
    return rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)


def images(batch: int, height: int, width: int) -> np.ndarray:
    """Images ``[B,H,W,3]`` in 0..1, smooth enough to differ from one another."""
    rng = np.random.default_rng(1)
    coarse = rng.uniform(0, 1, (batch, height // 8, width // 8, 3))
    fine = rng.uniform(0, 1, (batch, height, width, 3))
    return 0.6 * coarse.repeat(8, 1).repeat(8, 2) + 0.4 * fine


def seeded_variables(network, x):
    """Variables of a Flax network on images ``x``; nothing is compiled to draw them."""
    import jax
    from flax.traverse_util import flatten_dict, unflatten_dict

    shapes = jax.eval_shape(partial(network.init, train=False), jax.random.key(0), x)
    kinds = {"kernel": "weight", "var": "running_var", "mean": "running_mean"}

    def draw(path, leaf):
        name = "/".join((*path[:-1], kinds.get(path[-1], path[-1])))
        return jax.numpy.asarray(array(name, leaf.shape), leaf.dtype)

    flat = {path: draw(path, leaf) for path, leaf in flatten_dict(shapes).items()}
    return unflatten_dict(flat)
