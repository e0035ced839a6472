"""Merging as published code does it: all distances, all sorted, then walked."""

import numpy as np

from fgu_jax.merging.merge import number_by_appearance


def sort_all_pairs(
    features: np.ndarray, labels: np.ndarray, num_merges: int
) -> np.ndarray:
    """Labels after ``num_merges`` merges of the closest pair, int32 [N].

    The N x N matrix in float32, its order, and a union of labels: BUC's steps. Nearly
    equal distances may be taken in another order than in float64.
    """
    squares = np.einsum("nd,nd->n", features, features)
    distances = squares[:, None] + squares[None, :]
    distances -= 2 * (features @ features.T)
    distances[np.tril_indices(len(features))] = np.inf
    order = np.argsort(distances, axis=None)
    parent = np.arange(int(labels.max()) + 1)

    def root(node):
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    done = 0
    for place in order:
        i, j = divmod(int(place), len(features))
        a, b = root(labels[i]), root(labels[j])
        if a != b:
            parent[max(a, b)] = min(a, b)
            done += 1
            if done == num_merges:
                break
    return number_by_appearance(np.array([root(label) for label in labels]))
