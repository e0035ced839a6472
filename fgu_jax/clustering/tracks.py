"""Tracks: images known to show one individual, clustered as one by their mean."""

import numpy as np
from numpy.typing import ArrayLike

from fgu_jax.clustering.links import Pairs, as_pairs, by_first_row, once
from fgu_jax.errors import InputError
from fgu_jax.retrieval.protocol import as_labels

_ZERO = 1e-5  # length below which nothing but rounding is left


def track_groups(tracks: ArrayLike, count: int) -> np.ndarray:
    """Int32 [N]: the track of each image, dense and numbered by first appearance.

    Args:
      tracks: int [N], equal numbers from 1 for images of one track; 0 or less: an
        image of no track, which is a group of its own.
      count: N.

    Raises:
      InputError: another length, no integers.

    >>> track_groups([5, 0, 5, 0], 4).tolist()
    [0, 1, 0, 2]
    """
    of = as_labels(tracks, "tracks", count).astype(np.int64)
    alone = of <= 0
    of[alone] = -1 - np.arange(np.count_nonzero(alone))
    return by_first_row(of)


def track_means(features: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Float32 [T, D]: the mean of each group's unit features, of unit length again.

    Features that cancel out have no direction: the group's first one stands for it.
    """
    order = np.argsort(groups, kind="stable")
    first = np.searchsorted(groups[order], np.arange(groups.max(initial=-1) + 1))
    means = np.add.reduceat(features[order].astype(np.float64), first, axis=0)
    length = np.linalg.norm(means, axis=1, keepdims=True)
    size = np.diff(first, append=len(groups))[:, None]
    there = length > _ZERO * size
    of_first = features[order[first]]
    return np.where(there, means / np.where(there, length, 1), of_first).astype(
        np.float32
    )


def pairs_of_tracks(
    pairs: Pairs, groups: np.ndarray, name: str, *, apart: bool
) -> np.ndarray:
    """Int64 [P, 2]: pairs of rows as pairs of groups, each once.

    Raises:
      InputError: pairs as of ``as_pairs``; rows of one track that are kept ``apart``.
    """
    rows = as_pairs(pairs, name, len(groups))
    found = groups[rows].astype(np.int64).reshape(-1, 2)
    same = found[:, 0] == found[:, 1]
    if apart and same.any():
        i, j = rows[same][0]
        raise InputError(
            f"{name} keeps apart rows {i} and {j} (and {same.sum() - 1} more pairs), "
            "which are of one track: take the link back, or cluster without tracks"
        )
    return once(found[~same], int(groups.max(initial=-1)) + 1)


def seen_together(pictures: ArrayLike, tracks: ArrayLike | None = None) -> np.ndarray:
    """Int64 [P, 2]: rows that are of one picture, and so show two individuals.

    Args:
      pictures: [N] of any type, equal for boxes that were cut from one picture.
      tracks: int [N], as of ``track_groups``: boxes of one picture and of one track
        are no such pair (two parts of one individual, or a fault of the tracks).

    Of each two groups that were seen together one pair of rows says so.
    """
    of = np.unique(np.asarray(pictures), return_inverse=True)[1].ravel()
    groups = np.arange(len(of)) if tracks is None else track_groups(tracks, len(of))
    several = np.flatnonzero(np.bincount(of)[of] > 1)  # few of them, as a rule
    order = several[np.argsort(of[several], kind="stable")]
    cuts = np.flatnonzero(np.diff(of[order])) + 1
    pairs = []
    for rows in np.split(order, cuts):
        if len(rows) > 1:
            first, second = np.triu_indices(len(rows), 1)
            pairs.append(np.stack([rows[first], rows[second]], axis=1))
    if not pairs:
        return np.empty((0, 2), np.int64)
    every = np.concatenate(pairs)
    of_pair = np.sort(groups[every], axis=1)
    _, once = np.unique(of_pair, axis=0, return_index=True)
    once = np.sort(once[of_pair[once, 0] != of_pair[once, 1]])
    return every[once].astype(np.int64)
