"""Convolution and batch normalisation as PyTorch pads and names them."""

from functools import partial
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
    """3 x 3 maximum with stride 2 and one row and column of padding, as in ResNet."""
    return nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))


def batch_norm(
    *,
    train: bool,
    dtype: Any,
    param_dtype: Any,
    axis_name: str | None,
    momentum: float,
    epsilon: float = 1e-5,
) -> Any:
    """``flax.linen.BatchNorm`` over the global batch, its statistics never narrow.

    ``momentum`` is flax's: 0.9 here is 0.1 in PyTorch. The running variance is the
    biased one, where PyTorch keeps ``n / (n - 1)`` of it.
    """
    return partial(
        nn.BatchNorm,
        use_running_average=not train,
        momentum=momentum,
        epsilon=epsilon,
        dtype=dtype,
        param_dtype=param_dtype,
        axis_name=axis_name,
        # Off, flax holds the statistics in param_dtype; on, in float32 at any rate,
        # and the first float64 step would change the type of the state.
        force_float32_reductions=jnp.finfo(param_dtype).bits <= 32,
    )
