"""Evaluation and re-ranking written densely in NumPy, as published code has them."""

import numpy as np

from fgu_jax.bench.features import Ranked


def evaluate(ranked: Ranked) -> dict[str, float]:
    """One product, every row sorted: rank-1 and mean average precision."""
    query, gallery = ranked.query, ranked.gallery
    squares = (query**2).sum(1)[:, None] + (gallery**2).sum(1)[None, :]
    order = np.argsort(squares - 2 * query @ gallery.T, axis=1)
    precisions, firsts = [], []
    for row, places in enumerate(order):
        ids = ranked.gallery_ids[places]
        same = ids == ranked.query_ids[row]
        here = ranked.gallery_cameras[places] == ranked.query_cameras[row]
        kept = ~(same & here) & (ids != -1)
        hits = np.flatnonzero(same[kept])
        if len(hits):
            precisions.append(np.mean(np.arange(1, len(hits) + 1) / (hits + 1)))
            firsts.append(hits[0] == 0)
    return {"rank1": float(np.mean(firsts)), "mAP": float(np.mean(precisions))}


def rerank(
    query: np.ndarray, gallery: np.ndarray, k1: int, k2: int, weight: float
) -> np.ndarray:
    """k-reciprocal re-ranking over matrices of all images by all images. [Q, G]."""
    jaccard, distances = jaccard_rows(
        np.concatenate([query, gallery]), len(query), k1, k2
    )
    mixed = (1 - weight) * jaccard + weight * distances[: len(query)]
    return mixed[:, len(query) :]


def jaccard_rows(
    features: np.ndarray, rows: int, k1: int, k2: int
) -> tuple[np.ndarray, np.ndarray]:
    """Jaccard's distance of the first ``rows`` images to all, and plain distances.

    The steps of Zhong et al. (CVPR 2017), eqs (3) to (12): squared distances divided by
    the largest of each row, mutual neighbours and theirs, weights, their mean over k2
    neighbours, Jaccard's distance.
    """
    count = len(features)
    squares = (features**2).sum(1)
    distances = squares[:, None] + squares[None, :] - 2 * features @ features.T
    distances /= distances.max(axis=1, keepdims=True)
    lists = np.argsort(distances, axis=1)

    def mutual(i, k):
        near = lists[i, : k + 1]
        return near[(lists[near, : k + 1] == i).any(axis=1)]

    weights = np.zeros((count, count), np.float32)
    for i in range(count):
        core = mutual(i, k1)
        expanded = core
        for j in core:
            theirs = mutual(j, round(k1 / 2))
            if len(np.intersect1d(theirs, core)) > 2 / 3 * len(theirs):
                expanded = np.append(expanded, theirs)
        expanded = np.unique(expanded)
        shares = np.exp(-distances[i, expanded])
        weights[i, expanded] = shares / shares.sum()
    if k2 > 1:
        weights = np.stack([weights[near[:k2]].mean(axis=0) for near in lists])

    having = [np.flatnonzero(weights[:, j]) for j in range(count)]
    jaccard = np.empty((rows, count), np.float32)
    for i in range(rows):
        shared = np.zeros(count, np.float32)
        for j in np.flatnonzero(weights[i]):
            both = having[j]
            shared[both] += np.minimum(weights[i, j], weights[both, j])
        jaccard[i] = 1 - shared / (2 - shared)
    return jaccard, distances
