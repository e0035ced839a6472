"""ResNet without its classifier, the last stage at stride 1."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from fgu_jax.networks.convolution import Conv, max_pool
from fgu_jax.networks.normalisation import batch_norm


class Block(nn.Module):
    """One residual block: two 3 x 3, or 1 x 1, 3 x 3, 1 x 1 with four times the width.

    The stride sits on the 3 x 3 of a bottleneck (torchvision's "v1.5"), not on its
    first 1 x 1 as in He et al. 2016.
    """

    width: int
    strides: int
    bottleneck: bool
    conv: Any
    norm: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernels = (1, 3, 1) if self.bottleneck else (3, 3)
        outputs = self.width * (4 if self.bottleneck else 1)
        shortcut, y = x, x
        for i, k in enumerate(kernels, start=1):
            last = i == len(kernels)
            strides = self.strides if i == (2 if self.bottleneck else 1) else 1
            features = outputs if last else self.width
            y = self.conv(features, k, strides, name=f"conv{i}")(y)
            y = self.norm(name=f"bn{i}")(y)
            if not last:
                y = nn.relu(y)
        if shortcut.shape[-1] != outputs or self.strides != 1:
            projection = self.conv(outputs, 1, self.strides, name="downsample_0")
            shortcut = self.norm(name="downsample_1")(projection(shortcut))
        return nn.relu(y + shortcut)


class ResNet(nn.Module):
    """Normalised images ``[B,H,W,3]`` to the feature map ``[B,h,w,F]``.

    Parameters carry torchvision's names, with ``layer1.0`` written ``layer1_0``.

    Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016; the
    stride of 1 in the last stage is what re-identification networks use (PCB, PAUL).
    """

    blocks: Sequence[int]
    widths: Sequence[int]
    strides: Sequence[int]
    bottleneck: bool
    stem: str = "imagenet"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32
    axis_name: str | None = None
    bn_momentum: float = 0.9
    bn_group: int | None = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}

        def conv(features: int, k: int, strides: int, *, name: str) -> Conv:
            return Conv(features, k, strides, name=name, **types)

        norm = batch_norm(
            train=train,
            axis_name=self.axis_name,
            momentum=self.bn_momentum,
            group=self.bn_group,
            **types,
        )
        small = self.stem == "small"
        x = conv(self.widths[0], 3 if small else 7, 2, name="conv1")(x)
        x = nn.relu(norm(name="bn1")(x))
        if not small:
            x = max_pool(x)
        stages = zip(self.blocks, self.widths, self.strides, strict=True)
        for stage, (count, width, strides) in enumerate(stages, start=1):
            for i in range(count):
                x = Block(
                    width,
                    strides if i == 0 else 1,
                    self.bottleneck,
                    conv,
                    norm,
                    name=f"layer{stage}_{i}",
                )(x)
        return x
