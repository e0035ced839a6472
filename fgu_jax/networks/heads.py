"""From the feature map to unit features: the global head and the stacked patch heads.

Everything here runs in float32 with full precision, or wider where the map is wider.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

# Kaiming's normal, variance 2 over the inputs, drawn for each of the U heads alone.
stacked_he_normal = nn.initializers.variance_scaling(
    2.0, "fan_in", "normal", in_axis=1, out_axis=2, batch_axis=0
)


def unit(x: jax.Array) -> jax.Array:
    """Rows of ``x [..., D]`` at length 1; a zero row stays zero, with a zero gradient.

    >>> (unit(jnp.array([[6.0, 8.0], [0.0, 0.0]])) * 10).round().tolist()
    [[6.0, 8.0], [0.0, 0.0]]
    """
    square = jnp.sum(x * x, axis=-1, keepdims=True)
    alive = square > jnp.finfo(x.dtype).tiny
    return jnp.where(alive, x / jnp.sqrt(jnp.where(alive, square, 1)), 0)


def widen(feature_map: jax.Array) -> jax.Array:
    """The map in float32, or unchanged where it is wider already."""
    return feature_map.astype(jnp.promote_types(feature_map.dtype, jnp.float32))


def stripe_means(feature_map: jax.Array, num_patches: int) -> jax.Array:
    """Means of U stripes of equal height, ``[B,h,w,F] -> [U,B,F]``; U divides h.

    >>> stripe_means(jnp.arange(4.0).reshape(1, 4, 1, 1), 2).ravel().tolist()
    [0.5, 2.5]
    """
    b, h, w, f = feature_map.shape
    stripes = feature_map.reshape(b, num_patches, h // num_patches, w, f)
    return jnp.mean(stripes, axis=(2, 3)).transpose(1, 0, 2)


class GeneralizedMean(nn.Module):
    """``mean(max(x, epsilon)^p)^(1/p)`` over a map, ``[B,h,w,F] -> [B,F]``, p learnt.

    p starts at 3; 1 is the mean of what is positive, and the larger it is, the nearer
    the maximum.

    Source: Radenovic et al., Fine-tuning CNN Image Retrieval with No Human Annotation,
    TPAMI 2018, eq (3).
    """

    param_dtype: Any
    epsilon: float = 1e-6

    @nn.compact
    def __call__(self, feature_map: jax.Array) -> jax.Array:
        start = nn.initializers.constant(3.0)
        p = self.param("p", start, (1,), self.param_dtype)[0]
        powers = jnp.maximum(feature_map, self.epsilon) ** p
        return jnp.mean(powers, axis=(1, 2)) ** (1 / p)


class PatchHeads(nn.Module):
    """U separate linear heads with BatchNorm, ``[U,B,F] -> [U,B,d]``, held as one.

    ``kernel [U,F,d]``; ``bn``: scale, bias and running statistics ``[U,d]``, over the
    batch of each patch alone. No bias before BatchNorm.
    """

    patch_dim: int
    param_dtype: Any
    norm: Any

    @nn.compact
    def __call__(self, pooled: jax.Array) -> jax.Array:
        shape = (pooled.shape[0], pooled.shape[-1], self.patch_dim)
        kernel = self.param("kernel", stacked_he_normal, shape, self.param_dtype)
        patches = jnp.einsum(
            "ubf,ufd->ubd", pooled, kernel, precision=lax.Precision.HIGHEST
        )
        return self.norm(axis=(0, 2), name="bn")(patches)
