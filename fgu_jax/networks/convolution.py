"""Convolution and pooling as PyTorch pads them; depthwise ones that a CPU likes."""

import functools
import itertools
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
    runs in ``dtype``. ``by_taps`` is for a CPU, few channels and no gradient: product
    after product of a pixel and all its features, in half the time; it differs by
    rounding.
    """

    features: int
    kernel_size: int = 1
    strides: int = 1
    same: bool = False
    by_taps: bool = False
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
        pads = [(k // 2, k // 2)] * 2
        if self.same:
            pads = lax.padtype_to_pads(x.shape[1:3], (k, k), (s, s), "SAME")
        if self.by_taps:
            return _by_taps(x, kernel, s, pads)
        layout = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(
            x, kernel, (s, s), pads, dimension_numbers=layout
        )


def _by_taps(x: jax.Array, kernel: jax.Array, strides: int, pads: Any) -> jax.Array:
    """The convolution as one sum over taps and channels, ``[B, h, w, features]``."""
    k, _, channels, _ = kernel.shape
    wide = jnp.promote_types(x.dtype, jnp.float32)  # of the sum, as a convolution's
    taps = jnp.expand_dims(kernel.astype(wide), (3, 4, 5))  # a tap: [1, 1, 1, features]
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    h, w = _size(x, kernel, strides)

    def of_image(pixels: jax.Array) -> jax.Array:
        channel_of = jnp.split(pixels[None].astype(wide), channels, axis=-1)
        products = (
            _shifted(channel_of[c], i, j, h, w, strides) * taps[i, j, c]
            for i, j, c in itertools.product(range(k), range(k), range(channels))
        )
        return functools.reduce(lax.add, products)[0].astype(x.dtype)

    # Image after image, so that XLA does not fuse the sum with what pads it next, which
    # takes away what was gained.
    return lax.map(of_image, x)


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


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def depthwise(x: jax.Array, kernel: jax.Array, strides: int) -> jax.Array:
    r"""One ``k x k`` filter a channel over an input that is padded already.

    .. math:: y[b, p, q, c] = \sum_{i,j} x[b, s p + i, s q + j, c]\, w[i, j, c]

    XLA's grouped convolution took 4 to 20 times as long on two CPU cores, forwards and
    backwards. Left to itself, the gradient of the filters is k*k sums over the batch,
    each by columns: on a CPU it took 10 to 20 times as long as one pass over the images
    with all k*k sums at hand, which is what is done there.

    Args:
      x: ``[B, H, W, C]``, padded.
      kernel: ``[k, k, C]``, float32 or wider: products are summed in its type.
      strides: s, at least 1.

    Returns:
      ``[B, (H - k) // s + 1, (W - k) // s + 1, C]``, in the kernel's type.

    >>> x = jnp.arange(9.0).reshape(1, 3, 3, 1)
    >>> depthwise(x, jnp.ones((3, 3, 1)), 1).ravel().tolist()
    [36.0]
    """
    k, (h, w) = len(kernel), _size(x, kernel, strides)
    # Operations of XLA by their own names: NumPy's take three times as long to trace,
    # and a network has thousands of them.
    total = lax.full((x.shape[0], h, w, x.shape[3]), 0, kernel.dtype)
    for i in range(k):
        for j in range(k):
            tap = lax.index_in_dim(lax.index_in_dim(kernel, i, keepdims=False), j)
            tap = lax.broadcast_in_dim(tap, total.shape, (0, 3))
            shifted = _strided(x, (i, j), (h, w), (strides, strides))
            shifted = lax.convert_element_type(shifted, kernel.dtype)
            total = lax.add(total, lax.mul(shifted, tap))
    return total


def _forward(x, kernel, strides):
    return depthwise(x, kernel, strides), (x, kernel)


def _backward(strides, kept, above):
    x, kernel = kept
    k, (h, w) = len(kernel), above.shape[1:3]
    # Zeros between the strides and around: then the way back is a way forth.
    sides = [
        (k - 1, size - strides * (out - 1) - 1, strides - 1)
        for size, out in ((x.shape[1], h), (x.shape[2], w))
    ]
    spread = lax.pad(above, jnp.zeros((), above.dtype), [(0, 0, 0), *sides, (0, 0, 0)])
    to_x = depthwise(spread, kernel[::-1, ::-1], 1).astype(x.dtype)
    to_kernel = lax.platform_dependent(
        x,
        above,
        cpu=functools.partial(_by_image, k=k, strides=strides),
        default=functools.partial(_by_filter, k=k, strides=strides),
    )
    return to_x, to_kernel.astype(kernel.dtype)


depthwise.defvjp(_forward, _backward)


def _by_filter(x, above, *, k, strides):
    """The filters' gradient ``[k, k, C]``, a sum over the whole batch for each tap."""
    h, w = above.shape[1:3]
    taps = [
        jnp.sum(
            _shifted(x, i, j, h, w, strides).astype(above.dtype) * above, axis=(0, 1, 2)
        )
        for i in range(k)
        for j in range(k)
    ]
    return jnp.stack(taps).reshape(k, k, -1)


def _by_image(x, above, *, k, strides):
    """The same, image after image, with the sums of all taps at hand.

    A tap's products of a whole tile are added up before they meet the sum, which is
    by so much smaller than the image: sums and image stay in a core's cache.
    """
    h, w, c = above.shape[1:]
    rows, columns = _tile(h, w)
    taps = [(i, j) for i in range(k) for j in range(k)]
    tile = [(p, q) for p in range(rows) for q in range(columns)]
    count = (h // rows, w // columns)

    def one(sums, image):
        pixels, gradient = (part[None] for part in image)
        steps = (strides * rows, strides * columns)
        above_at = {at: _strided(gradient, at, count, (rows, columns)) for at in tile}
        # Taps that lie side by side share most of their pixels.
        pixels_at = functools.cache(lambda *at: _strided(pixels, at, count, steps))

        def added(total, i, j):
            for (p, q), gradient in above_at.items():
                part = pixels_at(i + strides * p, j + strides * q)
                total = lax.add(total, lax.mul(part, gradient))
            return total

        return [added(s, *tap) for s, tap in zip(sums, taps, strict=True)], None

    zero = jnp.zeros((1, *count, c), above.dtype)
    sums, _ = lax.scan(one, [zero] * len(taps), (x.astype(above.dtype), above))
    totals = [jnp.sum(total, axis=(0, 1, 2)) for total in sums]
    return jnp.stack(totals).reshape(k, k, c)


def _tile(h: int, w: int) -> tuple[int, int]:
    """Rows and columns whose products are added up at once; (1, 1) where none fits.

    16 to 32 of them took half the time of 1 on a CPU, 2 to 8 of them more.

    >>> [_tile(*size) for size in ((64, 32), (8, 4), (12, 4), (7, 7))]
    [(8, 2), (8, 2), (4, 4), (1, 1)]
    """
    fits = [
        (rows, columns)
        for rows in range(1, min(h, 8) + 1)
        for columns in range(1, min(w, 8) + 1)
        if h % rows == 0 and w % columns == 0 and 16 <= rows * columns <= 32
    ]
    return min(fits, key=lambda tile: (tile[0] * tile[1], -tile[0]), default=(1, 1))


def _size(x, kernel, strides):
    return tuple((size - len(kernel)) // strides + 1 for size in x.shape[1:3])


def _shifted(x, i, j, h, w, s):
    return _strided(x, (i, j), (h, w), (s, s))


def _strided(x, first, count, steps):
    """Rows and columns of ``[B, H, W, C]``: so many from the first on, by steps."""
    last = (
        start + step * (number - 1) + 1
        for start, number, step in zip(first, count, steps, strict=True)
    )
    images, _, _, channels = x.shape
    return lax.slice(x, (0, *first, 0), (images, *last, channels), (1, *steps, 1))
