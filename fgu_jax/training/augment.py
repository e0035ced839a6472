"""Augmentation on the device: pure functions of a key, one image each.

The key of an image comes from (seed, epoch, row), never from a device or a place in
a batch: the same image is cropped alike on 1 or 8 devices. An image's random numbers
are drawn at once, since each draw in a program costs a CPU a second to compile.
"""

import jax
import jax.numpy as jnp
from jax import lax

__all__ = [
    "augment",
    "image_keys",
    "random_crop",
    "random_erasing",
    "random_jitter",
    "random_shift",
]

_CROP, _JITTER, _ERASING = 22, 6, 5  # numbers that each of them uses


def image_keys(key: jax.Array, epoch: jax.Array, rows: jax.Array) -> jax.Array:
    """Keys [B] of the images with these rows in this epoch."""
    epoch_key = jax.random.fold_in(key, epoch)
    return jax.vmap(lambda row: jax.random.fold_in(epoch_key, row))(rows)


def augment(
    keys: jax.Array,
    images: jax.Array,
    *,
    crop: bool = True,
    pad: int = 0,
    flip: bool = True,
    color_jitter: float = 0.0,
    erasing: float = 0.0,
) -> jax.Array:
    """Randomly cropped, flipped, recoloured and erased images.

    Args:
      keys: PRNG keys [B].
      images: float [B, H, W, 3] in 0..1.
      crop: take a random area and aspect, see ``random_crop``.
      pad: without ``crop``, move it by up to so many pixels, see ``random_shift``.
      flip: mirror every second image, by chance.
      color_jitter: strength in 0..1, see ``random_jitter``.
      erasing: chance in 0..1 that a rectangle is erased, see ``random_erasing``.

    Returns:
      float [B, H, W, 3] in 0..1.

    >>> keys = jax.random.split(jax.random.key(0), 2)
    >>> compiled = jax.jit(augment, static_argnames="color_jitter")
    >>> compiled(keys, jnp.ones((2, 8, 4, 3)), color_jitter=0.5).shape
    (2, 8, 4, 3)
    """
    count = 1 + _CROP + _JITTER + _ERASING
    dtype = images.dtype

    def one(key, image):
        numbers = jax.random.uniform(key, (count,), dtype)
        mirror, for_crop, for_jitter, for_erasing = jnp.split(
            numbers, [1, 1 + _CROP, 1 + _CROP + _JITTER]
        )
        if crop:
            image = random_crop(for_crop, image)
        elif pad > 0:  # in place of a crop, by two of its numbers
            image = random_shift(for_crop[20:], image, most=pad)
        if flip:
            image = jnp.where(mirror[0] < 0.5, image[:, ::-1], image)
        if color_jitter > 0:
            image = random_jitter(for_jitter, image, strength=color_jitter)
        if erasing > 0:
            image = random_erasing(for_erasing, image, chance=erasing)
        return image

    return jax.vmap(one)(keys, images)


def random_crop(numbers: jax.Array, image: jax.Array) -> jax.Array:
    """A window of 64-100% of the area, two to three times as high as wide, resized.

    The first of ten draws that fits the image is taken; the whole image if none does.
    Heights and widths are those of an image twice as high as wide, which is how
    pedestrians are cut out; other proportions are stretched to that.

    Args:
      numbers: uniform [22] in 0..1.
      image: float [H, W, 3] in 0..1.

    Returns:
      float [H, W, 3] in 0..1.

    Source: BUC's ``RandomSizedRectCrop``, taken here from the resized image.
    """
    height, width = image.shape[:2]
    area = _between(numbers[:10], 0.64, 1.0)
    aspect = _between(numbers[10:20], 2.0, 3.0) / 2
    # In shares of the image: h * w = area, h / w = aspect.
    h, w = jnp.sqrt(area * aspect), jnp.sqrt(area / aspect)
    fits = (h <= 1) & (w <= 1)
    first = jnp.argmax(fits)
    h = jnp.where(fits.any(), h[first], 1.0)
    w = jnp.where(fits.any(), w[first], 1.0)
    top, left = numbers[20] * (1 - h) * height, numbers[21] * (1 - w) * width
    scale = jnp.stack([1 / h, 1 / w])
    resized = jax.image.scale_and_translate(
        image,
        image.shape,
        (0, 1),
        scale,
        -jnp.stack([top, left]) * scale,
        method="linear",
        antialias=False,
        precision=lax.Precision.HIGHEST,
    )
    return jnp.clip(resized, 0, 1)


def random_shift(numbers: jax.Array, image: jax.Array, *, most: int) -> jax.Array:
    """The image in a frame of black pixels, cut out again at a random place.

    Args:
      numbers: uniform [2] in 0..1, of y and of x.
      image: float [H, W, 3] in 0..1.
      most: pixels of the frame, 0 or more.

    Returns:
      float [H, W, 3] in 0..1.

    Source: pad and crop of the published code of SpCL and Cluster Contrast.
    """
    framed = jnp.pad(image, ((most, most), (most, most), (0, 0)))
    corner = jnp.floor(numbers * (2 * most + 1)).astype(jnp.int32)
    corner = jnp.minimum(corner, 2 * most)
    return lax.dynamic_slice(framed, (corner[0], corner[1], 0), image.shape)


def random_jitter(
    numbers: jax.Array, image: jax.Array, *, strength: float
) -> jax.Array:
    """Brightness, contrast and saturation times 1 +- strength; a tint of a quarter.

    Args:
      numbers: uniform [6] in 0..1.
      image: float [H, W, 3] in 0..1.
      strength: in 0..1.

    Returns:
      float [H, W, 3] in 0..1.
    """
    brightness, contrast, saturation = _between(numbers[:3], 1 - strength, 1 + strength)
    tint = _between(numbers[3:], 1 - strength / 4, 1 + strength / 4)
    image = jnp.clip(image * brightness * tint[None, None, :], 0, 1)
    mean = jnp.mean(_luminance(image))
    image = jnp.clip(mean + contrast * (image - mean), 0, 1)
    grey = _luminance(image)
    return jnp.clip(grey + saturation * (image - grey), 0, 1)


def random_erasing(
    numbers: jax.Array, image: jax.Array, *, chance: float | jax.Array
) -> jax.Array:
    """With a chance, a rectangle of 2-40% of the area is filled with the mean colour.

    Args:
      numbers: uniform [5] in 0..1.
      image: float [H, W, 3].
      chance: in 0..1.

    Returns:
      float [H, W, 3].

    Source: Zhong et al., Random Erasing Data Augmentation, AAAI 2020.
    """
    height, width = image.shape[:2]
    area = _between(numbers[0], 0.02, 0.4) * height * width
    aspect = jnp.exp(_between(numbers[1], jnp.log(0.3), jnp.log(3.3)))
    h = jnp.minimum(jnp.sqrt(area * aspect), height)
    w = jnp.minimum(jnp.sqrt(area / aspect), width)
    top, left = numbers[2] * (height - h), numbers[3] * (width - w)
    y, x = jnp.arange(height)[:, None], jnp.arange(width)[None, :]
    inside = (y >= top) & (y < top + h) & (x >= left) & (x < left + w)
    inside &= numbers[4] < chance
    mean = jnp.mean(image, axis=(0, 1), keepdims=True)
    return jnp.where(inside[:, :, None], mean, image)


def _between(numbers: jax.Array, low, high) -> jax.Array:
    return low + numbers * (high - low)


def _luminance(image: jax.Array) -> jax.Array:
    weights = jnp.array([0.299, 0.587, 0.114], image.dtype)
    return jnp.sum(image * weights[None, None, :], axis=-1, keepdims=True)
