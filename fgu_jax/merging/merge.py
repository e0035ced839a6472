"""Merging clusters, eq (5): what is asked for is checked, done and renumbered."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Sequence

import jax
import numpy as np
from numpy.typing import ArrayLike

from fgu_jax.errors import InputError
from fgu_jax.merging.linkage import merge_by_linkage
from fgu_jax.merging.single_linkage import merge_by_minimum
from fgu_jax.messages import nearest
from fgu_jax.progress import Progress

CRITERIA = ("min", "max", "centroid", "average", "median")
_OTHER_NAMES = {"single": "min", "complete": "max", "mean": "average"}
_MOST_COLUMNS = 1 << 20


def _checked_features(features: ArrayLike) -> np.ndarray:
    given = np.asarray(features)
    if given.ndim != 2 or 0 in given.shape or given.shape[1] > _MOST_COLUMNS:
        raise InputError(
            f"features are {list(given.shape)}: one row an image is expected, [N, D] "
            f"with N >= 1 and D in 1..{_MOST_COLUMNS}"
        )
    if not np.can_cast(given.dtype, np.float64, "same_kind") or given.dtype == bool:
        raise InputError(f"features are {given.dtype}: real numbers are expected")
    with np.errstate(over="ignore"):
        rows = np.ascontiguousarray(given, dtype=np.float32)
    # A sum of finite float32 is finite in float64; the array of flags is not made.
    if not np.isfinite(rows.sum(dtype=np.float64)):
        wrong = ~np.isfinite(rows).all(axis=1)
        raise InputError(
            f"{np.count_nonzero(wrong)} of {len(rows)} feature rows are not finite in "
            f"float32, the first is row {np.argmax(wrong)}: leave those images out"
        )
    return rows


def _checked_labels(labels: ArrayLike, num_images: int) -> np.ndarray:
    given = np.asarray(labels)
    if given.shape != (num_images,):
        raise InputError(
            f"labels are {list(given.shape)} but features have {num_images} rows: "
            f"give one label a row, [{num_images}]"
        )
    if not np.issubdtype(given.dtype, np.integer):
        raise InputError(f"labels are {given.dtype}: integers are expected")
    present = np.unique(given)
    if present[0] != 0 or present[-1] != len(present) - 1:
        raise InputError(
            f"labels are {len(present)} values in {present[0]}..{present[-1]}, not "
            f"dense: number the clusters 0..{len(present) - 1}"
        )
    return given.astype(np.int64)


def _check_criterion(criterion: str, size_penalty: float) -> None:
    if criterion not in CRITERIA:
        near = nearest(criterion, CRITERIA, cutoff=0.3)
        guess = _OTHER_NAMES.get(criterion, near or CRITERIA[0])
        raise InputError(
            f"unknown criterion {criterion!r}: did you mean {guess!r}? "
            f"(one of {', '.join(CRITERIA)})"
        )
    if not 0 <= size_penalty < np.inf:
        raise InputError(f"size_penalty is {size_penalty}: give 0 or more, finite")
    if size_penalty and criterion != "min":
        raise InputError(
            f"size_penalty is {size_penalty} with criterion {criterion!r}: "
            "it goes with 'min' alone, leave it at 0"
        )


def _sharing(devices: Sequence[jax.Device] | None) -> Sequence[jax.Device]:
    """The devices of the ring; none where the host reads block after block."""
    if devices is not None:
        if len(set(devices)) != len(devices) or not devices:
            raise InputError(
                f"devices are {list(devices)}: give one or more, each once"
            )
        return devices
    return () if jax.default_backend() == "cpu" else jax.local_devices()


def number_by_appearance(labels: np.ndarray) -> np.ndarray:
    """Dense int32 labels, numbered in the order in which the rows show them.

    >>> number_by_appearance(np.array([7, 3, 7, 9])).tolist()
    [0, 1, 0, 2]
    """
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    number = np.empty(len(first), np.int32)
    number[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    return number[inverse]


def _merge(
    features: ArrayLike,
    labels: ArrayLike,
    num_merges: int,
    criterion: str,
    size_penalty: float,
    memory_limit: int | None,
    devices: Sequence[jax.Device] | None,
    progress: Progress | None,
) -> tuple[np.ndarray, np.ndarray]:
    _check_criterion(criterion, size_penalty)
    rows = _checked_features(features)
    start = _checked_labels(labels, len(rows))
    try:
        wanted = operator.index(num_merges)
    except TypeError:
        raise InputError(f"num_merges is {num_merges!r}: give a whole number") from None
    if wanted < 0:
        raise InputError(f"num_merges is {wanted}: give 0 or more")
    num_clusters = int(start.max()) + 1
    allowed = min(wanted, max(0, num_clusters - 2))
    if allowed < wanted:
        warnings.warn(
            f"{wanted} merges of {num_clusters} clusters would leave fewer than 2: "
            f"stopped at {num_clusters - allowed} after {allowed} merges",
            stacklevel=3,
        )
    if allowed == 0:
        return number_by_appearance(start), np.zeros(0)
    # From here on clusters are numbered by their first row, and so are ties.
    start = number_by_appearance(start).astype(np.int64)
    if criterion == "min" and not size_penalty:
        merged, heights = merge_by_minimum(
            rows, start, allowed, progress, _sharing(devices)
        )
    else:
        merged, heights = merge_by_linkage(
            rows,
            start,
            allowed,
            criterion=criterion,
            size_penalty=size_penalty,
            memory_limit=memory_limit,
            progress=progress,
        )
    return number_by_appearance(merged), heights


def merge_with_heights(
    features: ArrayLike,
    labels: ArrayLike,
    num_merges: int,
    *,
    criterion: str = "min",
    size_penalty: float = 0.0,
    memory_limit: int | None = None,
    devices: Sequence[jax.Device] | None = None,
    progress: Progress | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Merge clusters, and say at which distance each merge happened.

    As ``merge_clusters``, with a second result: the heights ``[num_done]`` of the
    merges in the order in which they were made, float64. A height is what was compared:
    the plain Euclidean D(A, B) of ``criterion``, and with a ``size_penalty`` D(A, B) +
    size_penalty (|A| + |B|). They ascend, except that ``centroid`` and ``median`` may
    step back (an inversion).

    >>> import numpy as np
    >>> points = np.array([[0.0], [1.0], [5.0], [7.0]])
    >>> merged, heights = merge_with_heights(points, np.arange(4), 2)
    >>> merged.tolist(), heights.tolist()
    ([0, 0, 1, 1], [1.0, 2.0])
    >>> merge_with_heights(points, np.arange(4), 2, size_penalty=0.25)[1].tolist()
    [1.5, 2.5]
    """
    return _merge(
        features,
        labels,
        num_merges,
        criterion,
        size_penalty,
        memory_limit,
        devices,
        progress,
    )


def merge_clusters(
    features: ArrayLike,
    labels: ArrayLike,
    num_merges: int,
    *,
    criterion: str = "min",
    size_penalty: float = 0.0,
    memory_limit: int | None = None,
    devices: Sequence[jax.Device] | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    r"""Merge the closest pair of clusters ``num_merges`` times, eq (5).

    .. math:: D(A, B) = \min_{a \in A, b \in B} \|v_a - v_b\|

    or, by ``criterion``: ``max``, the largest distance of two members; ``average``,
    the mean of the plain Euclidean distances of all pairs of members; ``centroid``, the
    distance of the means; ``median``, the distance of mid-points, where a merged
    cluster lies half-way between the two it came from. ``median`` depends on how a
    cluster came about: one that is given starts at its mean. Ties go to the pair of
    clusters that appears first by row (``min``: to the pair of rows).

    ``min`` is exact: float32 products only rule pairs out, edges are compared by
    squared distances recomputed in float64. It holds a few rows' worth of temporaries
    and a copy of the features, never an N x N matrix. The other criteria hold a C x C
    matrix in float64 and refuse what does not fit in memory.

    Args:
      features: ``[N, D]``, finite; cast to float32 if they are anything else, wider
        floats too. Of any scale and offset.
      labels: integer ``[N]``, every value of ``0..C-1`` present.
      num_merges: 0 or more; C falls by exactly this, but not below 2: then a
        ``UserWarning`` says how many clusters are left.
      criterion: ``min``, ``max``, ``centroid``, ``average`` or ``median``.
      size_penalty: BUC's :math:`\lambda`: ``min`` adds lambda (|A| + |B|) to the plain
        Euclidean distance, so that large clusters grow late. Anything but 0 takes the
        way of the other criteria, and their matrix.
      memory_limit: bytes that the C x C matrix may take; None: what the machine has
        available. ``min`` alone needs none.
      devices: that share the rows and the work of ``min``, of this process; the result
        does not depend on them. None: all accelerators, or the CPU block by block.
      progress: called with (done, total, what); None is silent.

    Returns:
      int32 ``[N]``, dense, numbered by first appearance.

    Raises:
      InputError: shapes that do not agree, features that are not finite in float32,
        labels that are not dense, a negative ``num_merges``, an unknown criterion, no
        device or one twice, or a matrix that does not fit.

    Source: the paper, section 2.2 and eq (5); Lin et al., "A Bottom-up Clustering
    Approach to Unsupervised Person Re-identification", AAAI 2019.

    >>> import numpy as np
    >>> points = np.array([[0.0], [1.0], [5.0], [7.0]])
    >>> merge_clusters(points, np.arange(4), 1).tolist()
    [0, 0, 1, 2]
    """
    return _merge(
        features,
        labels,
        num_merges,
        criterion,
        size_penalty,
        memory_limit,
        devices,
        progress,
    )[0]
