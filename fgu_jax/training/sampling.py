"""Which images go together in a batch: pure functions of the seed and the epoch.

A resumed run needs no sampler's state.
"""

import numpy as np


def epoch_order(
    seed: int,
    epoch: int,
    num_images: int,
    batch_size: int,
    rows: np.ndarray | None = None,
) -> np.ndarray:
    """Rows of each batch of an epoch, int32 [steps, B]; the last, partial one dropped.

    Args:
      seed, epoch: of the order.
      num_images: N; an epoch has N // B steps.
      batch_size: B.
      rows: those that are learnt from, gone through as often as the steps take; no
        batch has one of them twice, unless they are fewer than B. ``None``: all.

    >>> epoch_order(0, 1, 5, 2).shape
    (2, 2)
    >>> sorted(epoch_order(0, 1, 4, 2, np.array([3, 1])).ravel().tolist())
    [1, 1, 3, 3]
    """
    draw = np.random.default_rng([seed, epoch])
    steps = num_images // batch_size
    rows = np.arange(num_images) if rows is None else rows
    whole = max(len(rows) // batch_size * batch_size, min(len(rows), batch_size))
    passes = -(-steps * batch_size // whole)
    order = np.concatenate([draw.permutation(rows)[:whole] for _ in range(passes)])
    return order[: steps * batch_size].reshape(steps, batch_size).astype(np.int32)


def clusters_order(
    seed: int,
    epoch: int,
    labels: np.ndarray,
    batch_size: int,
    *,
    per_cluster: int,
    cameras: np.ndarray | None = None,
) -> np.ndarray:
    """Rows of each batch of an epoch, int32 [steps, B]: P clusters of K images each.

    Clusters come in random order, all of them before one comes again, and none twice
    in a batch, unless they are fewer than P. The first of its K images is any of the
    cluster. The others are, each image once while there are as many:

    - without ``cameras``, any others;
    - with them, those of other cameras than the first one's, each from another camera
      while there are any; those of its own camera where no other saw the cluster.

    Where a cluster has fewer than K images to give, they are drawn with repetition.

    Args:
      seed, epoch: of the order.
      labels: int [N], clusters; images of -1 are left out. N // B steps.
      batch_size: B, P K.
      per_cluster: K, 2 or more.
      cameras: int [N].

    >>> order = clusters_order(0, 1, np.array([0, 1, 0, 1, 0]), 4, per_cluster=2)
    >>> sorted(np.array([0, 1, 0, 1, 0])[order[0]].tolist())
    [0, 0, 1, 1]

    Source: ``RandomMultipleGallerySampler`` of the published code of SpCL and Cluster
    Contrast.
    """
    draw = np.random.default_rng([seed, epoch])
    steps, at_once = len(labels) // batch_size, batch_size // per_cluster
    by_cluster = np.argsort(labels, kind="stable")
    sizes = np.bincount(labels[labels >= 0])
    members = np.split(by_cluster[np.count_nonzero(labels < 0) :], sizes.cumsum()[:-1])
    order, waiting = [], np.empty(0, int)
    for _ in range(steps):
        batch = waiting[:at_once]
        waiting = waiting[at_once:]
        while len(batch) < at_once:
            deck = draw.permutation(len(members))
            if len(batch) < len(members):  # those that are in the batch come later
                there = np.isin(deck, batch)
                deck = np.concatenate([deck[~there], deck[there]])
            missing = at_once - len(batch)
            batch = np.concatenate([batch, deck[:missing]])
            waiting = deck[missing:]
        order.append([_of_one(draw, members[k], per_cluster, cameras) for k in batch])
    return np.array(order, np.int32).reshape(steps, batch_size)


def small_clusters(labels: np.ndarray, per_cluster: int) -> str | None:
    """A note, in one line, where most clusters have fewer than K images to give.

    >>> small_clusters(np.array([0, 0, 0, 0, 1, 2, -1]), 4)
    '2 of 3 clusters have fewer than the 4 images that a batch takes of each: theirs \
come into it more than once'
    >>> small_clusters(np.array([0, 0, 1, 1, 2]), 2)
    """
    sizes = np.bincount(labels[labels >= 0])
    small = np.count_nonzero(sizes < per_cluster)
    if 2 * small <= len(sizes):
        return None
    return (
        f"{small:,} of {len(sizes):,} clusters have fewer than the {per_cluster} "
        "images that a batch takes of each: theirs come into it more than once"
    )


def _of_one(
    draw: np.random.Generator,
    rows: np.ndarray,
    count: int,
    cameras: np.ndarray | None,
) -> np.ndarray:
    """Rows [count] of a cluster's."""
    rows = draw.permutation(rows)
    first, others = rows[:1], rows[1:]
    if cameras is not None:
        elsewhere = others[cameras[others] != cameras[first[0]]]
        if len(elsewhere):
            # One of each camera, then the second of each: drawn order within.
            _, of = np.unique(cameras[elsewhere], return_inverse=True)
            turn = [np.count_nonzero(of[:k] == of[k]) for k in range(len(of))]
            others = elsewhere[np.argsort(turn, kind="stable")]
    if not len(others):
        others = first
    if len(others) < count - 1:
        more = draw.choice(others, count - 1 - len(others))
        others = np.concatenate([others, more])
    return np.concatenate([first, others[: count - 1]])
