"""The size that images are resized to, by the proportions that the data has."""

import dataclasses
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from fgu_jax.config import Config, fields_of, values
from fgu_jax.data import Dataset, given
from fgu_jax.data.looks import proportions
from fgu_jax.errors import InputError
from fgu_jax.messages import short
from fgu_jax.networks import feature_map_size
from fgu_jax.progress import bar
from fgu_jax.training.appearance import least_size
from fgu_jax.training.images import read_dataset

# Of both sides, in pixels: maps have whole rows, and these have two to four stripes.
_HEIGHTS = (32, 48, 64, 96, 128, 144, 192, 256, 288, 384)
_WIDTHS = tuple(range(32, 400, 16))


def shaped(config: Config, data: Any, console: Console) -> tuple[Config, Any]:
    """The configuration with the size that ``image_shape`` asks for, and the data.

    Args:
      config: the run's.
      data: as of ``fit``.
      console: where the size is told.

    Returns:
      The configuration, its ``image_shape`` now "given"; the data, read where it was
      looked at.

    Raises:
      InputError: images of which none can be read; a list of them, which is not looked
        at here; no run where its size is asked for.
    """
    if config.image_shape == "given":
        return config, data
    if config.image_shape in ("start", "start_network"):
        return _as_start(config, console), data
    if data is None or isinstance(data, Dataset):
        with bar(console) as progress:
            data = read_dataset(config, progress) if data is None else data
        ratio = proportions(data.train)
    elif given.is_one_array(data):
        ratio = data.shape[1] / data.shape[2]
    else:
        ratio = None
    if ratio is None:
        raise InputError(
            "image_shape is 'data', and no image tells its size: give image_height and "
            "image_width"
        )
    area = config.image_height * config.image_width
    height, width = size_like(ratio, area, least=least_size(config))
    rows, _ = feature_map_size(config.backbone, height, width)
    fitting = [u for u in range(1, config.num_patches + 1) if rows % u == 0]
    found = dataclasses.replace(
        config,
        image_shape="given",
        image_height=height,
        image_width=width,
        num_patches=fitting[-1],
    )
    console.print(
        f"images are resized to {height} x {width} (height x width), as the middle one "
        f"is {ratio:.2f} times as high as wide; {found.num_patches} patches",
        markup=False,
    )
    return found, data


def _as_start(config: Config, console: Console) -> Config:
    """The network of the run in ``init``, at a whole multiple of its size."""
    path = Path(config.init).expanduser() / "config.json"
    if not path.is_file():
        raise InputError(
            f"image_shape is {config.image_shape!r}, and init is "
            f"{short(config.init)}, which is no run's folder: give --init=RUN"
        )
    start = values.load(path)
    area = start.image_height * start.image_width
    times = max(1, round(math.sqrt(config.image_height * config.image_width / area)))
    size = times * start.image_height, times * start.image_width
    as_told = f"{times} times those of {config.init}"
    if config.image_shape == "start_network":
        size, as_told = (config.image_height, config.image_width), "as given"
    of_network = {name: getattr(start, name) for name in fields_of("network")}
    found = dataclasses.replace(
        config,
        **of_network
        | {
            "image_shape": "given",
            "image_height": size[0],
            "image_width": size[1],
        },
    )
    console.print(
        f"images are resized to {found.image_height} x {found.image_width} (height x "
        f"width), {as_told}; {config.init}'s {found.backbone}, {found.num_patches} "
        "patches",
        markup=False,
    )
    return found


def size_like(
    ratio: float, area: int, *, least: tuple[int, int] = (1, 1)
) -> tuple[int, int]:
    """Height and width of about ``area`` pixels, ``ratio`` times as high as wide.

    Args:
      ratio: height by width.
      area: in pixels.
      least: height and width that the size keeps to, whatever its proportions.

    >>> size_like(2.1, 128 * 64), size_like(3.0, 128 * 64), size_like(0.72, 128 * 64)
    ((128, 64), (144, 48), (64, 112))
    >>> size_like(0.31, 128 * 64), size_like(0.31, 128 * 64, least=(64, 40))
    ((48, 160), (64, 160))
    """

    def off(size: tuple[int, int]) -> float:
        height, width = size
        shape = np.log(height / width) - np.log(ratio)
        return math.hypot(shape, np.log(height * width) - np.log(area))

    heights = [height for height in _HEIGHTS if height >= least[0]]
    widths = [width for width in _WIDTHS if width >= least[1]]
    return min(itertools.product(heights, widths), key=off)
