"""Features made by hand, to be compared beside the network's when images regroup.

A network that knows nothing yet of the images groups them worse than colours and
textures do; clusters of these are what it can begin with.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image

from fgu_jax.config import Config
from fgu_jax.config.methods import HANDCRAFTED
from fgu_jax.data import Images
from fgu_jax.errors import InputError
from fgu_jax.handcrafted import bag_of_words, learn_bag_of_words, lomo
from fgu_jax.handcrafted.lomo import LEAST as LEAST_OF_LOMO
from fgu_jax.progress import Progress

_BLOCK = 512  # images described at once
_SIZE = (128, 64)  # height and width that larger images are described at
_LEARNT = 16_384  # images that the words are learnt from
_SAMPLE = 2048  # images that the directions are taken from
_NOTHING = 1e-6  # length of what rounding leaves of a unit row
_WIDTH = 512  # directions that are kept: what is compared after every epoch is this


def describe(
    config: Config, images: Images, progress: Progress | None = None
) -> np.ndarray | None:
    """The features that ``config.handcrafted`` asks for, ``None`` where none are.

    Args:
      config: the run's; its seed is that of the words.
      images: uint8 [N, H, W, 3], those of training.
      progress: called with (done, total, what).

    Returns:
      float32 [N, F], unit rows: of both kinds, each has half of a similarity. Of each
      the 512 directions are kept that hold most of its first 2,048 images. Images
      higher than 128 or wider than 64 pixels are described at that size.
    """
    if config.handcrafted == "none":
        return None
    kinds: list[Callable[[np.ndarray], np.ndarray]] = []
    if config.handcrafted in ("bow", "both"):
        starts = range(0, min(_LEARNT, len(images)), _BLOCK)
        rows = np.concatenate([_reduced(images[k : k + _BLOCK]) for k in starts])
        kinds.append(learn_bag_of_words(rows, seed=config.seed, progress=progress))
    if config.handcrafted in ("lomo", "both"):
        kinds.append(lomo)
    first = _reduced(images[0 : min(_SAMPLE, len(images))])
    described = [kind(first) for kind in kinds]
    bases = [_directions(rows) for rows in described]
    found = []
    for start in range(0, len(images), _BLOCK):
        stop = min(start + _BLOCK, len(images))
        if stop <= len(first):
            blocks = [rows[start:stop] for rows in described]
        else:
            block = _reduced(images[start:stop])
            blocks = [kind(block) for kind in kinds]
        parts = [rows @ basis for rows, basis in zip(blocks, bases, strict=True)]
        found.append(np.concatenate([_unit(x) for x in parts], axis=1))
        if progress:
            progress(stop, len(images), "appearance")
    features = np.concatenate(found)
    return features / np.sqrt(np.float32(len(kinds)))


def _reduced(images: np.ndarray) -> np.ndarray:
    """Uint8 [B, H, W, 3] at no more than ``_SIZE``."""
    size = tuple(map(min, images.shape[1:3], _SIZE))
    if size == images.shape[1:3]:
        return np.asarray(images)
    wanted = size[::-1]
    return np.stack([
        np.asarray(Image.fromarray(x).resize(wanted, Image.Resampling.BOX))
        for x in np.asarray(images)
    ])  # fmt: skip


def _unit(rows: np.ndarray) -> np.ndarray:
    """The rows at unit length; one that has nothing of any direction has all alike.

    >>> _unit(np.array([[3.0, 4], [0, 0]], np.float32)).round(2).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.7099999785423279, 0.7099999785423279]]
    """
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    there = length > _NOTHING
    even = np.float32(rows.shape[1] ** -0.5)
    return np.where(there, rows / np.where(there, length, 1), even)


def _directions(rows: np.ndarray) -> np.ndarray:
    """Orthonormal columns [F, K] that hold most of the rows [M, F], K at most 512.

    Rows that are all zero have one, of zeros.
    """
    values, vectors = np.linalg.eigh(rows @ rows.T)
    kept = max(1, min(_WIDTH, int(np.count_nonzero(values > 1e-4 * values[-1]))))
    scale = np.sqrt(np.where(values > 0, values, 1)[-kept:])[None, :]
    return rows.T @ (vectors[:, -kept:] / scale)


def least_size(config: Config) -> tuple[int, int]:
    """Least height and width for what is made by hand; (1, 1) where nothing is.

    >>> least_size(Config(handcrafted="both")), least_size(Config())
    ((64, 40), (1, 1))
    """
    asked = _asked(config)
    least = [(1, 1)]
    if asked in ("lomo", "both"):
        least.append((LEAST_OF_LOMO, LEAST_OF_LOMO))
    if asked in ("bow", "both"):
        least.append(bag_of_words.LEAST)
    heights, widths = zip(*least, strict=True)
    return max(heights), max(widths)


def _asked(config: Config) -> str:
    """What is made by hand: all that a method has which trains nothing."""
    return config.method if config.method in HANDCRAFTED else config.handcrafted


def validate(config: Config) -> None:
    """Refuses images that are too small for what is asked for.

    Raises:
      InputError: smaller than LOMO takes, or lower than the words' stripes.
    """
    height, width = least_size(config)
    given = {"image_height": height, "image_width": width}
    short = [f"{n} {least}" for n, least in given.items() if getattr(config, n) < least]
    if not short:
        return
    trains = config.method not in HANDCRAFTED
    raise InputError(
        f"images are {config.image_height} x {config.image_width}: "
        f"{'handcrafted' if trains else 'method'} {_asked(config)!r} takes {height} x "
        f"{width} or more: give {' and '.join(short)} or more"
        + (", or handcrafted none" if trains else "")
    )


def beside(features: np.ndarray, made: np.ndarray, *, share: float) -> np.ndarray:
    """Float32 [N, D + F], unit rows: cosines are (1 - share) and share of the two's.

    >>> x, y = np.eye(2, dtype="f4"), np.ones((2, 1), "f4")
    >>> (beside(x, y, share=0.25) @ beside(x, y, share=0.25).T).round(2).tolist()
    [[1.0, 0.25], [0.25, 1.0]]
    """
    weights = np.sqrt(np.float32(1 - share)), np.sqrt(np.float32(share))
    return np.concatenate([weights[0] * features, weights[1] * made], axis=1)
