"""How many pictures of an individual there are, read off the neighbours alone.

Of an individual with n pictures, each is among the n - 1 nearest of each other one:
look one place further, and what is met is a stranger, who has nearer ones of its own.
So the share of mutual neighbours among those newly met steps down past n - 1. It is
counted in pairs and, as three agree by chance less easily, in triangles.
"""

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp

from fgu_jax.clustering.encoding import listed

REACH = 100
"""Neighbours that are looked at: steps are seen up to half as far."""
_THINNED = 4  # times fewer images at each further look
_FEWEST = 60  # images, of which nothing would be seen
_FAR = REACH // 8  # up to here the look before has seen all steps
_FAR_HEIGHT = 0.1  # what is no individual shows up to 0.04 on weak features
_FAR_SAMPLE = 1024
EDGE = 0.45 * REACH
"""Up to here a look places its steps well."""
_OTHER = 1.5  # times as many pictures are another step
_SAMPLE = 4096  # images that are looked at: enough for two decimals
_ERRORS = 1.5  # times 1 / sqrt(images): three standard errors of a mean share
_STEADY = 8  # places from which on a step needs no more height than any
_CLEAR = 0.5  # a step of this height needs no more images
_TABLE = 1 << 22  # entries of a table of ranks


def pictures_alike(
    unit: np.ndarray,
    lists: np.ndarray,
    lists_of: Callable[[np.ndarray, int], np.ndarray],
) -> tuple[float | None, float]:
    """``neighbours_alike``, of individuals with hundreds of pictures too.

    Of every fourth image an individual has a fourth of its pictures, so that the same
    number of neighbours shows steps four times as far; and so on, of every sixteenth.
    Which images, is drawn by a fixed seed. Of the steps that are seen so, the coarsest
    that is half as high as the highest is taken.

    Args:
      unit: float32 [N, D], unit rows.
      lists: int32 [N, k + 1], their ``nearest_lists``.
      lists_of: of rows and a reach, such lists.

    Returns:
      As ``neighbours_alike``; k in pictures of all N images.
    """
    found = [neighbours_alike(lists)]
    order = np.random.default_rng(0).permutation(len(unit))
    times = _THINNED
    while (count := len(unit) // times) >= _FEWEST:
        rows = np.sort(order[:count])
        few = lists_of(unit[rows], min(REACH, count - 1))
        alike, step = neighbours_alike(few, sample=_FAR_SAMPLE)
        if alike is not None and alike > _FAR and step >= _FAR_HEIGHT:
            finer = found[-1][0] or 0.0
            # Nearly the same place again is less exactly seen than before, but where
            # that look ended.
            ended = EDGE * times / _THINNED
            if alike * times > _OTHER * finer or finer > ended:
                found.append((alike * times, step))
        times *= _THINNED
    seen = [(alike, step) for alike, step in found if alike is not None]
    if not seen:
        return found[0]
    highest = max(step for _, step in seen)
    return max((alike, step) for alike, step in seen if step >= highest / 2)


def neighbours_alike(
    lists: np.ndarray, *, sample: int = _SAMPLE
) -> tuple[float | None, float]:
    """n - 1 where the neighbours show a step, and how high it is.

    With f(k) the mutual pairs of an image within k places, plus its mutual triangles
    divided by k - 1, f rises by 1 + 1 a place within the pictures of one individual
    that no other disturbs. The step at k is

      T(k) = (f(k) - f(k/2)) / (k/2) - (f(2k) - f(k)) / k,

    the rise over the octave below less the rise over the octave above (triangles from
    k = 4 on: an octave below needs two neighbours to have any). A step stands out
    above 1.5 / sqrt(images looked at), three standard errors of a mean share, where it
    is the highest within half an octave either way; below k = 8, where few places are
    averaged and bursts of one camera make steps of their own, above 8 / k times that;
    half a neighbour is enough in any case.
    Pictures come in bursts and bursts in individuals: of several, the coarsest that is
    half as high as the highest is taken.

    Args:
      lists: int32 [N, k + 1], of ``nearest_lists``; ``REACH`` of them serve.
      sample: how many images are looked at.

    Returns:
      k, the geometric mean of those about the step where T is nine tenths of the
      highest there, None where no step stands out; the highest T.

    >>> twelve = np.arange(12)
    >>> three = [sorted(twelve, key=lambda j: (j // 3 != i // 3, -abs(i - j), j != i))
    ...          for i in twelve]
    >>> neighbours_alike(np.array(three)[:, :7])[0]
    2.0
    """
    count, reach = len(lists), lists.shape[1] - 1
    if reach < 2:
        return None, 0.0
    rows = np.arange(min(count, sample)) * count // min(count, sample)
    pairs, triangles = _rises(lists, rows)
    k = np.arange(1, reach // 2 + 1)
    step = _steps(pairs, k) + np.where(k >= 4, _steps(triangles, k), 0)
    noise = _ERRORS / np.sqrt(len(rows)) * np.maximum(1, _STEADY / k)
    noise = np.minimum(noise, _CLEAR)
    least = np.maximum(noise, step.max() / 2)
    for place in np.flatnonzero(step >= least)[::-1]:
        around = (k >= k[place] / np.sqrt(2)) & (k <= k[place] * np.sqrt(2))
        if step[place] == step[around].max():
            top = _run(step >= 0.9 * step[place], place)
            return float(np.exp(np.log(k[top]).mean())), float(step[place])
    return None, float(step.max())


def _steps(rise: np.ndarray, k: np.ndarray) -> np.ndarray:
    half = k // 2
    below = (rise[k] - rise[half]) / (k - half)
    return below - (rise[2 * k] - rise[k]) / k


def _run(true: np.ndarray, place: int) -> slice:
    """The places around ``place`` up to the next that are not ``true``."""
    low = high = place
    while low > 0 and true[low - 1]:
        low -= 1
    while high + 1 < len(true) and true[high + 1]:
        high += 1
    return slice(low, high + 1)


def _rises(lists: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mutual pairs, and triangles / (k - 1), of the mean image within k = 0, 1, ..."""
    count, reach = len(lists), lists.shape[1] - 1
    rank = _mutual_ranks(lists)
    far = reach + 1
    pairs = np.zeros(far + 1)
    triangles = np.zeros(far + 1)
    block = max(1, min(256, _TABLE // count))
    for low in range(0, len(rows), block):
        mine = rank[rows[low : low + block]]
        own = np.repeat(np.arange(mine.shape[0]), np.diff(mine.indptr))
        pairs += np.bincount(mine.data, minlength=far + 1)
        table = np.full((mine.shape[0], count), far, np.int16)
        table[own, mine.indices] = mine.data
        # A triangle is there from the place on at which its last pair is.
        start = rank.indptr[mine.indices].astype(np.int64)
        size = rank.indptr[mine.indices + 1] - start
        place = np.arange(size.sum()) + np.repeat(start - np.cumsum(size) + size, size)
        third = table[np.repeat(own, size), rank.indices[place]]
        edges = np.maximum(np.repeat(mine.data, size), rank.data[place])
        triangles += np.bincount(np.maximum(edges, third), minlength=far + 1)
    others = np.maximum(np.arange(far) - 1, 1)
    mean = [np.cumsum(found[:far]) / len(rows) for found in (pairs, triangles)]
    return mean[0], mean[1] / others


def _mutual_ranks(lists: np.ndarray) -> sp.csr_array:
    """Int16 [N, N]: of two in each other's lists, the later place of the two."""
    count, width = lists.shape
    near = listed(lists, width, np.int16)
    near.data = np.tile(np.arange(width, dtype=np.int16), count)
    near.eliminate_zeros()
    near.sort_indices()
    far = near.T.tocsr()
    far.sort_indices()
    both = near.minimum(far)  # 0 where one of the two lacks it
    both.eliminate_zeros()
    later = near.maximum(far).multiply(both != 0).tocsr()
    later.sort_indices()
    return later
