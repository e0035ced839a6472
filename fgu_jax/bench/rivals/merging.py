"""Merging as BUC's authors do it: all distances, all sorted, labels by Python lists."""

import numpy as np

from fgu_jax.bench.rivals import torch_losses as plain_torch

_FAR = 100_000.0


def merge_as_buc(
    features: np.ndarray, labels: np.ndarray, num_merges: int
) -> np.ndarray:
    """Labels after ``num_merges`` merges of the closest pair, int32 [N].

    The steps of the authors' code, with their data structures: the N x N matrix of
    squared distances, half of it pushed away; a loop over all pairs that pushes away
    those of one cluster; an argsort of the whole matrix; then, pair after pair, the
    list of labels rewritten and its distinct values counted; at last each label
    replaced by its rank. Nearly equal distances may be taken in another order than in
    float64.

    Source: Lin et al., AAAI 2019, and what its published code does.
    """
    distances = _all_distances(features)
    count = len(features)
    distances += np.tril(np.full((count, count), _FAR, np.float32))
    now = labels.tolist()
    for i in range(count):
        for j in range(i + 1, count):
            if now[i] == now[j]:
                distances[i, j] = _FAR
    first, second = np.unravel_index(np.argsort(distances, axis=None), distances.shape)
    wanted = len(np.unique(np.array(now))) - num_merges
    for i, j in zip(first, second, strict=True):
        kept, gone = sorted((now[i], now[j]))
        now = [kept if label == gone else label for label in now]
        if len(np.unique(np.array(now))) == wanted:
            break
    for rank, old in enumerate(np.unique(np.array(now)).tolist()):
        now = [rank if label == old else label for label in now]
    return np.array(now, np.int32)


def _all_distances(features: np.ndarray) -> np.ndarray:
    """Squared, float32 [N, N], by PyTorch where it is installed, as the authors do."""
    if not plain_torch.available():
        squares = np.einsum("nd,nd->n", features, features)
        distances: np.ndarray = squares[:, None] + squares[None, :]
        distances -= 2 * (features @ features.T)
        return distances
    import torch

    x = torch.from_numpy(features)
    squares = x.pow(2).sum(dim=1, keepdim=True).expand(len(x), len(x))
    return (squares + squares.t()).addmm_(x, x.t(), alpha=-2).numpy()
