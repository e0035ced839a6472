"""Large pictures are decoded once, whatever command asks next.

What is kept is found by the picture's bytes and by all that decides its pixels, never
by a name or a date, and is bit for bit what decoding gives.
"""

import contextlib
import functools
import hashlib
import inspect
import platform
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

from fgu_jax._version import __version__
from fgu_jax.data import decode, kinds
from fgu_jax.data.decode import decode_image
from fgu_jax.data.decoded.cache import DecodedCache

WORTH_BYTES = 1 << 16
"""Smaller files are decoded each time, in a millisecond, and not even looked up."""

_in_use: DecodedCache | None = None


def decode_once(data: bytes, height: int, width: int, **how: Any) -> np.ndarray:
    """``decode_image``, or what it gave for the same picture before.

    Args:
      data: the encoded bytes.
      height, width: size of the result in pixels.
      how: whatever else ``decode_image`` takes.

    Returns:
      uint8 [height, width, 3].

    Raises:
      UnreadableImage: as ``decode_image``; of such pictures nothing is kept.
    """
    if _in_use is None or len(data) < WORTH_BYTES:
        return decode_image(data, height, width, **how)
    key = image_key(data, height, width, **how)
    image = _in_use.find(key, height, width)
    if image is None:
        image = decode_image(data, height, width, **how)
        _in_use.keep(key, image)
    return image


def image_key(data: bytes, height: int, width: int, **how: Any) -> bytes:
    """SHA-256 of a picture's bytes and of all that decides what it is decoded to.

    SHA-256 and not BLAKE2: most processors have instructions for it, and reading the
    digest is most of what an image costs that is found.
    """
    asked = repr((_decoder(), height, width, sorted(how.items())))
    digest = hashlib.sha256(hashlib.sha256(asked.encode()).digest())
    digest.update(data)
    return digest.digest()


@functools.cache
def _decoder() -> str:
    """What decodes: our source, Pillow, its libraries, the kind of processor."""
    from PIL import __version__ as pillow
    from PIL import features

    libraries = (*features.get_supported_codecs(), "libjpeg_turbo")
    sources = "".join(map(_source, (decode, kinds)))
    known_by = (
        hashlib.sha256(sources.encode()).hexdigest(),
        pillow,
        [(name, features.version(name)) for name in libraries],
        platform.machine(),
    )
    return repr(known_by)


def _source(module: ModuleType) -> str:
    """Its text: unlike a number of its version, nobody forgets to change it."""
    try:
        return inspect.getsource(module)
    except OSError:  # installed without
        return __version__


@contextlib.contextmanager
def using(cache: DecodedCache | None) -> Iterator[None]:
    """Within, ``decode_once`` asks this cache and fills it; ``None``: none."""
    global _in_use
    before, _in_use = _in_use, cache
    try:
        yield
    finally:
        _in_use = before
        if cache is not None:
            cache.close()
