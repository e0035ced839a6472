"""EfficientNet-Lite0 without its classifier, the last halving at stride 1.

Source: Tan and Le, "EfficientNet", ICML 2019, and the authors' Lite variant (2020): no
squeeze-and-excitation, ReLU6 for swish, stem and head of fixed width. Padding is
TensorFlow's ``SAME``, which for a stride of 2 on an even size is one-sided.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from fgu_jax.networks.convolution import Conv, depthwise
from fgu_jax.networks.normalisation import batch_norm


class Stage(NamedTuple):
    """``repeats`` inverted bottlenecks, the stride in the first."""

    repeats: int
    kernel_size: int
    strides: int
    expand: int
    features: int


# The sixth stage has stride 2 for classification; 1 here, as in the ResNets.
LITE0 = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 1, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
STEM_FEATURES, HEAD_FEATURES = 32, 1280
_EARLY = 5  # blocks whose maps are large and hold few channels


class DepthwiseConv(nn.Module):
    """A ``k x k`` filter a channel, ``[B,H,W,C] -> [B,h,w,C]``; kernel ``[k,k,C]``."""

    kernel_size: int
    strides: int
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        k, s = self.kernel_size, self.strides
        he_normal = nn.initializers.variance_scaling(
            2.0, "fan_in", "normal", batch_axis=2
        )
        kernel = self.param("kernel", he_normal, (k, k, x.shape[-1]), self.param_dtype)
        # bfloat16 products are summed in float32, as a convolution would.
        wide = jnp.promote_types(self.dtype, jnp.float32)
        kernel = kernel.astype(self.dtype).astype(wide)
        pads = lax.padtype_to_pads(x.shape[1:3], (k, k), (s, s), "SAME")
        x = jnp.pad(x.astype(self.dtype), ((0, 0), *pads, (0, 0)))
        return depthwise(x, kernel, s).astype(self.dtype)


class InvertedBottleneck(nn.Module):
    """Expand by 1 x 1, filter each channel, project by 1 x 1; a shortcut if it fits."""

    stage: Stage
    strides: int
    types: Any
    norm: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        stage, y = self.stage, x
        if stage.expand != 1:
            wide = x.shape[-1] * stage.expand
            y = Conv(wide, name="expand_conv", **self.types)(y)
            y = nn.relu6(self.norm(name="bn0")(y))
        depthwise = DepthwiseConv(
            stage.kernel_size, self.strides, name="depthwise_conv", **self.types
        )
        y = nn.relu6(self.norm(name="bn1")(depthwise(y)))
        y = Conv(stage.features, name="project_conv", **self.types)(y)
        y = self.norm(name="bn2")(y)
        return x + y if x.shape == y.shape else y


class EfficientNetLite(nn.Module):
    """Normalised images ``[B,H,W,3]`` to the feature map ``[B,h,w,1280]``.

    No stochastic depth: a training step draws nothing at random. With ``few``, so many
    images at a time go through the stem and the first blocks, where their number
    divides B: on a CPU, whose cache holds the maps of so many. It is for a network at
    rest; the map differs by rounding.
    """

    stages: tuple[Stage, ...] = LITE0
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32
    axis_name: str | None = None
    bn_momentum: float = 0.9
    bn_group: int | None = None
    few: int | None = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        norm = batch_norm(
            train=train,
            axis_name=self.axis_name,
            momentum=self.bn_momentum,
            epsilon=1e-3,
            group=self.bn_group,
            **types,
        )
        blocks = [
            (stage, stage.strides if repeat == 0 else 1)
            for stage in self.stages
            for repeat in range(stage.repeats)
        ]

        def through(x: jax.Array, part: slice) -> jax.Array:
            for number in range(len(blocks))[part]:
                stage, strides = blocks[number]
                name = f"blocks_{number}"
                x = InvertedBottleneck(stage, strides, types, norm, name=name)(x)
            return x

        def early(x: jax.Array) -> jax.Array:
            how = {"same": True, "by_taps": self.few is not None, **types}
            x = Conv(STEM_FEATURES, 3, 2, name="conv_stem", **how)(x)
            x = nn.relu6(norm(name="bn0")(x))
            return through(x, slice(_EARLY))

        if self.few is None or len(x) % self.few:
            x = early(x)
        else:
            x = _by_few(self, early, x, self.few)
        x = through(x, slice(_EARLY, None))
        x = Conv(HEAD_FEATURES, name="conv_head", **types)(x)
        return nn.relu6(norm(name="bn1")(x))


def _by_few(
    module: nn.Module, layers: Callable[[jax.Array], jax.Array], x: jax.Array, few: int
) -> jax.Array:
    """What layers of a module give, so many images at a time."""
    parts = x.reshape(-1, few, *x.shape[1:])
    over = nn.scan(
        lambda _, carry, part: (carry, layers(part)), variable_broadcast=True
    )
    _, y = over(module, None, parts)
    return y.reshape(len(x), *y.shape[2:])
