"""Images as Python code has them: arrays, Pillow's, paths, in lists or generators."""

import os
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fgu_jax.data.decode import Resize, UnreadableImage, resized, to_rgb
from fgu_jax.data.decoded.once import decode_once
from fgu_jax.data.images import FolderSource
from fgu_jax.errors import InputError
from fgu_jax.messages import first_line

KINDS = (
    "a path, a Pillow image, or an array of [height, width], [height, width, 1, 3 or "
    "4] or [3, height, width], uint8 or shares of white from 0 to 1"
)


def is_one_array(images: Any) -> bool:
    """Whether images lie in one array, uint8 [N, H, W, 3], as the library has them."""
    return (
        isinstance(images, np.ndarray)
        and images.ndim == 4
        and images.dtype == np.uint8
        and images.shape[3] == 3
    )


def as_list(images: Any) -> list[Any]:
    """The images one by one, of whatever holds them.

    Args:
      images: a list, a generator, a column of a table (anything with ``to_list``), an
        array of several images, or one single image of any of the ``KINDS``.

    Raises:
      InputError: what holds no images.
    """
    if isinstance(images, (str, os.PathLike, Image.Image)):
        return [images]
    if hasattr(images, "to_list"):
        return list(images.to_list())
    if isinstance(images, (Mapping, Set)):
        raise InputError(
            f"images are a {type(images).__name__}: give a list, whose order rows keep"
        )
    if hasattr(images, "__array__") and not isinstance(images, (list, tuple)):
        array = _array(images, "images")
        if array.dtype == object or array.ndim in (0, 1, 4):
            return list(array) if array.ndim else [array.item()]
        one = array.ndim == 2 or 3 in (array.shape[0], array.shape[2])
        return [array] if one or array.shape[2] in (1, 4) else list(array)
    try:
        each = iter(images)  # also of what has no more than __getitem__
    except TypeError:
        raise InputError(
            f"images are {type(images).__name__}: give a list of {KINDS}"
        ) from None
    return list(each)


def _array(image: Any, what: str) -> np.ndarray:
    """What lies in memory as an array; raises InputError for all else."""
    if isinstance(image, (bytes, bytearray, type(None))) or hasattr(image, "read"):
        raise InputError(f"{what} is {type(image).__name__}: give {KINDS}")
    try:
        return np.asarray(image)
    except Exception as error:  # whatever an array of another library raises
        raise InputError(
            f"{what} is {type(image).__name__}, which is no array "
            f"({first_line(error)}): give {KINDS}"
        ) from error


def sized(
    image: Any, height: int, width: int, *, what: str, resize: Resize = "squash"
) -> np.ndarray:
    """One image of any kind as uint8 [height, width, 3], RGB.

    Args:
      image: of the ``KINDS``.
      height, width: of the result, in pixels.
      what: what messages call it, such as ``image 3``.
      resize: as of ``decode.resized``.

    Raises:
      InputError: another kind, or a file that cannot be read.
    """
    try:
        if isinstance(image, (str, os.PathLike)):
            path = Path(image)
            if path.is_dir():
                raise UnreadableImage(f"{str(image)!r} is a folder: list its files")
            data = FolderSource(path.parent).read(path.name)
            return decode_once(data, height, width, resize=resize)
        if isinstance(image, Image.Image):
            picture = to_rgb(image)
        else:
            picture = Image.fromarray(_as_rgb(_array(image, what), what))
    except UnreadableImage as error:
        raise InputError(f"{what}: {error}") from error
    except OSError as error:
        raise InputError(
            f"{what}: {str(image)!r} cannot be read: {error.strerror or error}"
        ) from error
    return np.asarray(resized(picture, height, width, resize))


def _as_rgb(array: np.ndarray, what: str) -> np.ndarray:
    """An array of one image as uint8 [H, W, 3]."""
    shape = list(array.shape)
    if array.ndim == 3 and array.shape[2] not in (1, 3, 4) and shape[0] in (1, 3):
        array = array.transpose(1, 2, 0)  # channels first, as PyTorch has them
    if array.ndim == 2:
        array = array[:, :, None]
    if (
        array.ndim != 3
        or array.shape[2] not in (1, 3, 4)
        or array.dtype.kind not in "uf"
    ):
        raise InputError(f"{what} is {array.dtype}{shape}: give {KINDS}")
    if 0 in shape:
        raise InputError(f"{what} has no pixels: {shape}")
    if array.dtype != np.uint8:
        low, high = float(array.min()), float(array.max())
        if array.dtype.kind != "f" or not 0 <= low <= high <= 1:
            raise InputError(
                f"{what} is {array.dtype} of {low:g} to {high:g}: give uint8, or "
                "floating point from 0 to 1"
            )
        array = (array.astype(np.float32) * 255 + 0.5).astype(np.uint8)
    if array.shape[2] == 4:
        return np.asarray(to_rgb(Image.fromarray(np.ascontiguousarray(array))))
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))
