"""PatchNet's windows: where on the feature map each patch is averaged.

Source: Yang et al., "Patch-based Discriminative Feature Learning for Unsupervised
Person Re-identification" (PAUL), CVPR 2019, after spatial transformers (Jaderberg et
al. 2015). Coordinates are those of PyTorch's ``grid_sample(align_corners=False)``: the
map spans -1..1 in x and in y.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


def stripe_windows(num_patches: int) -> np.ndarray:
    """Affine windows ``theta [U,2,3]`` that are U stripes of equal height.

    ``(x, y) = theta (x', y', 1)`` with ``x', y'`` in -1..1 inside the window.

    >>> stripe_windows(2)[1].tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]]
    """
    theta = np.zeros((num_patches, 2, 3), np.float32)
    theta[:, 0, 0] = 1
    theta[:, 1, 1] = 1 / num_patches
    theta[:, 1, 2] = (2 * np.arange(num_patches) + 1) / num_patches - 1
    return theta


def _centres(count: int, dtype: Any) -> jax.Array:
    return (2 * jnp.arange(count, dtype=dtype) + 1) / count - 1


def _share(position: jax.Array, count: int) -> jax.Array:
    """Bilinear share of each of ``count`` pixels in a point at ``position`` (-1..1)."""
    pixel = ((position + 1) * count - 1) / 2
    pixel = jnp.clip(pixel, 0, count - 1)[..., None]
    grid = jnp.arange(count, dtype=position.dtype).reshape((1,) * position.ndim + (-1,))
    return jnp.maximum(1 - jnp.abs(pixel - grid), 0)


def window_means(feature_map: jax.Array, theta: jax.Array) -> jax.Array:
    """Means of bilinear samples in affine windows, ``[B,h,w,F] -> [U,B,F]``.

    ``theta [B,U,2,3]``; each window is sampled at ``h/U x w`` points (U divides h), the
    pixels of its stripe where the window is the stripe. A point outside the map takes
    the nearest border pixel. The mean of samples is one weighted mean of pixels, so
    that no window is ever gathered.

    >>> theta = jnp.array(stripe_windows(2))[None]
    >>> window_means(jnp.arange(4.0).reshape(1, 4, 1, 1), theta).ravel().tolist()
    [0.5, 2.5]
    """
    _, h, w, _ = feature_map.shape
    u = theta.shape[1]
    dtype, exact = feature_map.dtype, lax.Precision.HIGHEST
    y, x = jnp.meshgrid(_centres(h // u, dtype), _centres(w, dtype), indexing="ij")
    points = jnp.stack([x.ravel(), y.ravel(), jnp.ones(x.size, dtype)])
    xy = jnp.einsum("buij,jp->buip", theta.astype(dtype), points, precision=exact)
    rows, columns = _share(xy[:, :, 1], h), _share(xy[:, :, 0], w)
    weights = jnp.einsum("bupy,bupx->buyx", rows, columns, precision=exact) / x.size
    return jnp.einsum("buyx,byxf->ubf", weights, feature_map, precision=exact)


class PatchNet(nn.Module):
    """A small localisation net, ``[B,h,w,F] -> theta [B,U,2,3]``; it starts at stripes.

    The last layer starts at zero with the stripes as its bias. Its ``hidden`` kernel
    has one row a pixel, so that a PatchNet belongs to one map size.
    """

    num_patches: int
    param_dtype: Any

    @nn.compact
    def __call__(self, feature_map: jax.Array) -> jax.Array:
        types = {"dtype": feature_map.dtype, "param_dtype": self.param_dtype}
        stripes = stripe_windows(self.num_patches)
        precision = lax.Precision.HIGHEST

        def dense(features: int, name: str, **kwargs: Any) -> nn.Dense:
            return nn.Dense(features, name=name, precision=precision, **types, **kwargs)

        x = nn.relu(dense(32, "reduce")(feature_map))
        x = nn.relu(dense(64, "hidden")(x.reshape(x.shape[0], -1)))

        def start(_key: Any, shape: tuple[int, ...], dtype: Any) -> jax.Array:
            return jnp.asarray(stripes.reshape(shape), dtype)

        zeros = nn.initializers.zeros
        theta = dense(stripes.size, "theta", kernel_init=zeros, bias_init=start)(x)
        return theta.reshape(x.shape[0], *stripes.shape)
