"""A network without FGU's heads: the one global feature that a backbone gives."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from fgu_jax.networks.backbones import TOGETHER, Backbone, find_embedding
from fgu_jax.networks.heads import unit, widen
from fgu_jax.networks.network import Features, Network


class GlobalNetwork(nn.Module):
    """Images float ``[B,H,W,3]``, RGB in 0..1, to ``Features`` without patches, U = 0.

    The global feature, of unit length, is DINOv2's class token after the last norm, or
    the mean over the last map of one of ``BACKBONES``. It is called and holds its
    parameters, below ``backbone``, as ``Network`` does, but for ``train``, which is
    False. Raises ``InputError`` for an unknown backbone, and for a size of images that
    it does not take.

    >>> network = GlobalNetwork("resnet_micro")
    >>> images = jnp.zeros((4, 64, 32, 3))
    >>> init = jax.jit(network.init, static_argnames="train")
    >>> apply = jax.jit(network.apply, static_argnames="train")
    >>> variables = init(jax.random.key(0), images, train=False)
    >>> features = apply(variables, images, train=False)
    >>> features.global_features.shape, features.patches.shape
    ((4, 16), (0, 4, 0))
    """

    backbone: str
    on_cpu: bool = False

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> Features:
        if train:
            raise ValueError("a network without heads only embeds: train=False")
        spec = find_embedding(self.backbone)
        wide = jnp.promote_types(images.dtype, jnp.float32)
        types: dict[str, Any] = {"dtype": wide, "param_dtype": wide}
        images = jnp.asarray(images, wide)
        mean, std = (
            jnp.asarray(x, wide).reshape(1, 1, 1, 3) for x in (spec.mean, spec.std)
        )
        layout = spec.for_cpu if isinstance(spec, Backbone) and self.on_cpu else {}
        backbone = spec.make(name="backbone", **layout, **types)
        images = (images - mean) / std
        if isinstance(spec, Backbone):
            pooled = jnp.mean(widen(backbone(images, train=False)), axis=(1, 2))
        else:
            pooled = backbone(images)
        return Features(unit(pooled), jnp.zeros((0, len(pooled), 0), pooled.dtype))


def for_cpu(network: Any) -> tuple[Any, int]:
    """A network, laid out for a CPU's cache in evaluation mode where it is one of ours.

    Args:
      network: a Flax module that gives ``Features``.

    Returns:
      A module over the same parameters, whose features differ by rounding; how many
      images go through it together.
    """
    if not isinstance(network, (Network, GlobalNetwork)):
        return network, TOGETHER
    return network.clone(on_cpu=True), find_embedding(network.backbone).together
