"""Batch normalisation over the global batch, in few passes over its input."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from fgu_jax.errors import InputError


class BatchNorm(nn.Module):
    """``(x - mean) scale / sqrt(var + epsilon) + bias``, as ``flax.linen.BatchNorm``.

    Variables carry flax's names: ``scale`` and ``bias`` of the parameters, ``mean`` and
    ``var`` of ``batch_stats``, each with the sizes of ``axis``, the features; the batch
    is every other axis, over all devices of ``axis_name``. ``momentum`` is flax's: 0.9
    here is 0.1 in PyTorch. The running variance is the biased one, where PyTorch keeps
    ``n / (n - 1)`` of it. Statistics and the product run in float32 or wider, the
    result is of ``dtype``.

    Flax subtracts the mean first and keeps the difference for the gradient. Here the
    mean is part of one factor and one summand per feature, so that the difference is
    neither written nor kept and the gradient needs two sums over the batch instead of
    three: a third less time on a CPU. Values differ by rounding.

    With a ``group`` each so many images of the global batch, in its order, are
    normalised by their own statistics, and the running ones follow the mean of the
    groups' (ghost batches: Hoffer et al., NIPS 2017). Images are the first axis of the
    batch. ``group`` divides a device's part of the batch, or is some devices' whole.

    Source: Ioffe & Szegedy, "Batch Normalization", ICML 2015, algorithms 1 and 2.
    """

    use_running_average: bool
    momentum: float
    epsilon: float
    dtype: Any
    param_dtype: Any
    axis_name: str | None = None
    axis: int | tuple[int, ...] = -1
    group: int | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        axes = (self.axis,) if isinstance(self.axis, int) else self.axis
        features = tuple(sorted(a % x.ndim for a in axes))
        batch = tuple(a for a in range(x.ndim) if a not in features)
        shape = tuple(x.shape[a] for a in features)
        wide = jnp.promote_types(self.param_dtype, jnp.float32)
        scale = self.param("scale", nn.initializers.ones, shape, self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, shape, self.param_dtype)
        kept_mean = self.variable("batch_stats", "mean", jnp.zeros, shape, wide)
        kept_var = self.variable("batch_stats", "var", jnp.ones, shape, wide)
        x = x.astype(wide)
        if self.use_running_average:
            mean, var = kept_mean.value, kept_var.value
        elif self.group is not None and not self.is_initializing():
            in_groups = _normalised(
                x, batch, self.group, epsilon=self.epsilon, axis_name=self.axis_name
            )
            for kept, new in zip((kept_mean, kept_var), in_groups[1:], strict=True):
                old = self.momentum * kept.value
                kept.value = old + (1 - self.momentum) * new
            factor, summand = (jnp.expand_dims(t, batch) for t in (scale, bias))
            return (in_groups[0] * factor + summand).astype(self.dtype)
        else:
            moments = jnp.stack([jnp.mean(x, batch), jnp.mean(lax.square(x), batch)])
            if self.axis_name is not None and not self.is_initializing():
                moments = lax.pmean(moments, self.axis_name)
            mean = moments[0]
            var = jnp.maximum(moments[1] - lax.square(mean), 0)
            if not self.is_initializing():
                for kept, new in ((kept_mean, mean), (kept_var, var)):
                    old = self.momentum * kept.value
                    kept.value = old + (1 - self.momentum) * new
        factor = scale * lax.rsqrt(var + self.epsilon)
        summand = bias - mean * factor
        factor, summand = (jnp.expand_dims(t, batch) for t in (factor, summand))
        return (x * factor + summand).astype(self.dtype)


def _normalised(
    x: jax.Array,
    batch: tuple[int, ...],
    group: int,
    *,
    epsilon: float,
    axis_name: str | None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """``(x - mean) / sqrt(var + epsilon)`` by groups; their mean statistics.

    Args:
      x: of any shape; ``batch`` are its axes of the batch, that of images first.
      group: images that have statistics of their own.
      epsilon, axis_name: as ``BatchNorm``.

    Returns:
      As x; and the mean of the groups' means and variances, each [features].
    """
    first = batch[0]
    by_image = jnp.moveaxis(x, first, 0)
    here = by_image.shape[0]
    if here % group and group % here:
        raise InputError(
            f"batch_norm_group is {group}, and a device has {here} images of a batch: "
            "give one that divides it, or a multiple of it"
        )
    parts = max(1, here // group)
    y = by_image.reshape(parts, here // parts, *by_image.shape[1:])
    # Axes of y: part, image, then those of x without that of images.
    over = (1, *(a + (1 if a > first else 2) for a in batch[1:]))
    moments = jnp.stack([jnp.mean(y, over), jnp.mean(lax.square(y), over)])
    if group > here and axis_name is not None:
        devices = group // here
        everyone = lax.all_gather(moments, axis_name)
        of_groups = everyone.reshape(-1, devices, *moments.shape).mean(axis=1)
        moments = of_groups[lax.axis_index(axis_name) // devices]
    mean = moments[0]
    var = jnp.maximum(moments[1] - lax.square(mean), 0)
    factor = jnp.expand_dims(lax.rsqrt(var + epsilon), over)
    z = ((y - jnp.expand_dims(mean, over)) * factor).reshape(by_image.shape)
    means = jnp.stack([mean.mean(axis=0), var.mean(axis=0)])
    if axis_name is not None:
        means = lax.pmean(means, axis_name)
    return jnp.moveaxis(z, 0, first), means[0], means[1]


def batch_norm(
    *,
    train: bool,
    dtype: Any,
    param_dtype: Any,
    axis_name: str | None,
    momentum: float,
    epsilon: float = 1e-5,
    group: int | None = None,
) -> Any:
    """``BatchNorm`` of one network: a layer adds its ``name``, heads their ``axis``.

    With ``train`` the batch's statistics are used and the running ones follow.
    """
    return partial(
        BatchNorm,
        use_running_average=not train,
        momentum=momentum,
        epsilon=epsilon,
        dtype=dtype,
        param_dtype=param_dtype,
        axis_name=axis_name,
        group=group,
    )
