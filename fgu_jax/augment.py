"""Augmentation on the device: pure functions of a key, one image each.

The key of an image comes from (seed, epoch, row), never from a device or a place in
a batch: the same image is cropped alike on 1 or 8 devices.
"""

import jax
import jax.numpy as jnp

__all__ = ["augment", "image_keys", "random_crop", "random_erasing", "random_jitter"]


def image_keys(key: jax.Array, epoch: jax.Array, rows: jax.Array) -> jax.Array:
    """Keys [B] of the images with these rows in this epoch."""
    epoch_key = jax.random.fold_in(key, epoch)
    return jax.vmap(lambda row: jax.random.fold_in(epoch_key, row))(rows)


def augment(
    keys: jax.Array,
    images: jax.Array,
    *,
    crop: bool = True,
    flip: bool = True,
    color_jitter: float = 0.0,
    erasing: float = 0.0,
) -> jax.Array:
    """Randomly cropped, flipped, recoloured and erased images.

    Args:
      keys: PRNG keys [B].
      images: float [B, H, W, 3] in 0..1.
      crop: take a random area and aspect, see ``random_crop``.
      flip: mirror every second image, by chance.
      color_jitter: strength in 0..1, see ``random_jitter``.
      erasing: chance in 0..1 that a rectangle is erased, see ``random_erasing``.

    Returns:
      float [B, H, W, 3] in 0..1.
    """

    def one(key, image):
        keys = jax.random.split(key, 4)
        if crop:
            image = random_crop(keys[0], image)
        if flip:
            mirrored = jax.random.bernoulli(keys[1])
            image = jnp.where(mirrored, image[:, ::-1], image)
        if color_jitter > 0:
            image = random_jitter(keys[2], image, strength=color_jitter)
        if erasing > 0:
            image = random_erasing(keys[3], image, chance=erasing)
        return image

    return jax.vmap(one)(keys, images)


def random_crop(key: jax.Array, image: jax.Array) -> jax.Array:
    """A window of 64-100% of the area, two to three times as high as wide, resized.

    The first of ten draws that fits the image is taken; the whole image if none does.
    The aspect is that of an image at its own proportions 2:1 (height to width) and is
    scaled to other proportions.

    Source: BUC's ``RandomSizedRectCrop``, taken here from the resized image.

    Args:
      key: PRNG key.
      image: float [H, W, 3].

    Returns:
      float [H, W, 3].
    """
    height, width = image.shape[:2]
    area_key, aspect_key, top_key, left_key = jax.random.split(key, 4)
    area = jax.random.uniform(area_key, (10,), minval=0.64, maxval=1.0)
    aspect = jax.random.uniform(aspect_key, (10,), minval=2.0, maxval=3.0) / 2
    # In shares of the image: h * w = area, h / w = aspect.
    h, w = jnp.sqrt(area * aspect), jnp.sqrt(area / aspect)
    fits = (h <= 1) & (w <= 1)
    first = jnp.argmax(fits)
    h = jnp.where(fits.any(), h[first], 1.0)
    w = jnp.where(fits.any(), w[first], 1.0)
    top = jax.random.uniform(top_key) * (1 - h)
    left = jax.random.uniform(left_key) * (1 - w)
    scale = jnp.stack([1 / h, 1 / w])
    offset = -jnp.stack([top * height, left * width]) * scale
    # The rounding of the weights must not depend on the device's fast products.
    resized = jax.image.scale_and_translate(
        image,
        image.shape,
        (0, 1),
        scale.astype(image.dtype),
        offset.astype(image.dtype),
        method="linear",
        antialias=False,
        precision=jax.lax.Precision.HIGHEST,
    )
    return jnp.clip(resized, 0, 1)


def random_jitter(key: jax.Array, image: jax.Array, *, strength: float) -> jax.Array:
    """Brightness, contrast and saturation times 1 +- strength; a tint of a quarter.

    Args:
      key: PRNG key.
      image: float [H, W, 3] in 0..1.
      strength: in 0..1.

    Returns:
      float [H, W, 3] in 0..1.
    """
    keys = jax.random.split(key, 4)
    brightness, contrast, saturation = (
        jax.random.uniform(k, minval=1 - strength, maxval=1 + strength).astype(
            image.dtype
        )
        for k in keys[:3]
    )
    tint = jax.random.uniform(
        keys[3], (1, 1, 3), minval=1 - strength / 4, maxval=1 + strength / 4
    ).astype(image.dtype)
    image = jnp.clip(image * brightness * tint, 0, 1)
    mean = jnp.mean(_luminance(image))
    image = jnp.clip(mean + contrast * (image - mean), 0, 1)
    grey = _luminance(image)
    return jnp.clip(grey + saturation * (image - grey), 0, 1)


def random_erasing(key: jax.Array, image: jax.Array, *, chance: float) -> jax.Array:
    """With a chance, a rectangle of 2-40% of the area is filled with the mean colour.

    Source: Zhong et al., Random Erasing Data Augmentation, AAAI 2020 (aspect 0.3-3.3).

    Args:
      key: PRNG key.
      image: float [H, W, 3].
      chance: in 0..1.

    Returns:
      float [H, W, 3].
    """
    height, width = image.shape[:2]
    keys = jax.random.split(key, 5)
    area = jax.random.uniform(keys[0], minval=0.02, maxval=0.4) * height * width
    log_aspect = jax.random.uniform(keys[1], minval=jnp.log(0.3), maxval=jnp.log(3.3))
    h = jnp.minimum(jnp.sqrt(area * jnp.exp(log_aspect)), height)
    w = jnp.minimum(jnp.sqrt(area / jnp.exp(log_aspect)), width)
    top = jax.random.uniform(keys[2]) * (height - h)
    left = jax.random.uniform(keys[3]) * (width - w)
    y, x = jnp.arange(height)[:, None], jnp.arange(width)[None, :]
    inside = (y >= top) & (y < top + h) & (x >= left) & (x < left + w)
    inside &= jax.random.bernoulli(keys[4], chance)
    mean = jnp.mean(image, axis=(0, 1), keepdims=True)
    return jnp.where(inside[:, :, None], mean, image)


def _luminance(image: jax.Array) -> jax.Array:
    weights = jnp.array([0.299, 0.587, 0.114], image.dtype)
    return jnp.sum(image * weights[None, None, :], axis=-1, keepdims=True)
