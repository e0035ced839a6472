"""Convolution and pooling as PyTorch pads them."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

he_normal = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class Conv(nn.Module):
    """Convolution ``[B,H,W,C] -> [B,h,w,features]`` with an odd square kernel, no bias.

    The padding is ``kernel_size // 2`` on every side, whatever the stride, as PyTorch's
    networks have it; ``same`` is TensorFlow's padding, one-sided where a stride of 2
    meets an even size. Kernel ``[k,k,C,features]``; new kernels are drawn as
    torchvision's ResNets draw them (normal, variance 2 over the outputs). The product
    runs in ``dtype``.
    """

    features: int
    kernel_size: int = 1
    strides: int = 1
    same: bool = False
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        k, s = self.kernel_size, self.strides
        shape = (k, k, x.shape[-1], self.features)
        kernel = self.param("kernel", he_normal, shape, self.param_dtype)
        x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
        if k == 1:
            # On a CPU, XLA's 1 x 1 convolution is slow backwards, and so is a product
            # over three dimensions: the kernel's gradient took three times as long.
            x = x[:, ::s, ::s]
            rows = x.reshape(-1, x.shape[-1]) @ kernel[0, 0]
            return rows.reshape(*x.shape[:3], self.features)
        padding = "SAME" if self.same else [(k // 2, k // 2)] * 2
        layout = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(
            x, kernel, (s, s), padding, dimension_numbers=layout
        )


def max_pool(x: jax.Array) -> jax.Array:
    """3 x 3 maximum with stride 2 and one row and column of padding, as in ResNet.

    Along the width, then along the height, by comparisons: the gradient goes to the
    first maximum of a window, as that of ``flax.linen.max_pool``, whose backward pass
    took ten times as long on a CPU.

    >>> max_pool(jnp.arange(16.0).reshape(1, 4, 4, 1))[0, :, :, 0].tolist()
    [[5.0, 7.0], [13.0, 15.0]]
    """
    return _max_of_three(_max_of_three(x, axis=2), axis=1)


def _max_of_three(x: jax.Array, axis: int) -> jax.Array:
    """Maximum of positions 2i - 1, 2i and 2i + 1 along an axis."""
    odd_size = x.shape[axis] % 2
    lowest = jnp.array(-jnp.inf, x.dtype)
    if odd_size:
        x = lax.pad(x, lowest, [(0, int(a == axis), 0) for a in range(x.ndim)])
    pairs = x.reshape(*x.shape[:axis], -1, 2, *x.shape[axis + 1 :])
    even, odd = (lax.index_in_dim(pairs, i, axis + 1, keepdims=False) for i in (0, 1))
    shift = [(int(a == axis), -int(a == axis), 0) for a in range(x.ndim)]
    return _larger(_larger(lax.pad(odd, lowest, shift), even), odd)


def _larger(first: jax.Array, second: jax.Array) -> jax.Array:
    """The larger of two, the first where they are equal; NaN where one is."""
    return jnp.where((second > first) | jnp.isnan(second), second, first)
