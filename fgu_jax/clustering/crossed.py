"""Whether what hundreds of pictures have in common is an individual, or a place.

A camera that is fixed, a background or the light of a day is shared by hundreds of
pictures and can outweigh who is in them. Individuals go from one to another: with the
common part taken out, neighbours show groups that were not seen before.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fgu_jax.clustering.encoding import listed, mutual
from fgu_jax.clustering.scale import EDGE, neighbours_alike

_FINER = 2.5  # times fewer pictures, at least, are another thing
_HEIGHT = 0.5  # of the coarse step's height
_CROSS = 0.25  # of the finer groups' pairs that were no near neighbours before
_NEAR = 2  # times as many places as the finer step has are near
_TABLE = 1 << 22  # numbers gathered at once
_LEAST = 1e-6  # of what is left of a unit row


class Crossed(NamedTuple):
    """What is left of features without what hundreds of them have in common.

    Attributes:
      unit: float32 [N, D], unit rows.
      lists: int32 [N, k + 1], their ``nearest_lists``.
      alike: how many neighbours are of an image's individual in them.
      step: how high that step is.
    """

    unit: np.ndarray
    lists: np.ndarray
    alike: float
    step: float


def crossed(
    unit: np.ndarray,
    lists: np.ndarray,
    scale: tuple[float | None, float],
    lists_of: Callable[[np.ndarray, int], np.ndarray],
) -> Crossed | None:
    """The individuals that cross the groups of a scale, where there are some.

    From each row the mean of its neighbours is taken, as many as the scale says but
    no more than are listed. A step of what is left is that of individuals if it is of
    2.5 times fewer pictures, half as high as that of the scale, and a quarter of its
    pairs were not within twice as many places before: pairs of bursts were.

    Args:
      unit: float32 [N, D], unit rows.
      lists: int32 [N, k + 1], their ``nearest_lists``.
      scale: of ``pictures_alike``; up to 45 neighbours are not asked about.
      lists_of: of rows and a reach, such lists.

    Source of the mean of the nearest, taken out of each row: Hara et al., Localized
    Centering: Reducing Hubness in Large-Sample Data, AAAI 2015, there against hubs.
    """
    coarse, height = scale
    reach = lists.shape[1] - 1
    if coarse is None or coarse <= EDGE:
        return None
    rest = _without_common(unit, lists[:, : 1 + min(reach, round(coarse))])
    nearest = lists_of(rest, reach)
    alike, step = neighbours_alike(nearest)
    if alike is None or alike > min(EDGE, coarse / _FINER) or step < _HEIGHT * height:
        return None
    near = max(1, round(alike))
    pairs = mutual(nearest, near)
    before = listed(lists, 1 + min(reach, _NEAR * near))
    pairs.setdiag(0)
    pairs.eliminate_zeros()
    known = pairs.multiply(before)
    if not pairs.nnz or known.nnz > (1 - _CROSS) * pairs.nnz:
        return None
    return Crossed(rest, nearest, alike, step)


def _without_common(unit: np.ndarray, lists: np.ndarray) -> np.ndarray:
    """Float32 [N, D]: rows without the mean of those they list, at unit length."""
    rest = np.empty_like(unit)
    block = max(1, _TABLE // (lists.shape[1] * unit.shape[1]))
    for low in range(0, len(unit), block):
        part = slice(low, low + block)
        common = unit[lists[part, 1:]].mean(axis=1, dtype=np.float64)
        left = unit[part] - common
        length = np.linalg.norm(left, axis=1, keepdims=True)
        # Of copies of one picture nothing is left.
        rest[part] = left / np.maximum(length, _LEAST)
    return rest
