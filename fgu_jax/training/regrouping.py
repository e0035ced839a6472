"""The clusters that images get between epochs: merged bottom-up, or k-means anew."""

import numpy as np
from jax.sharding import Mesh

from fgu_jax.clustering.kmeans import kmeans, nearest_centres, reliable_samples
from fgu_jax.clustering.means import cluster_centres
from fgu_jax.config import Config
from fgu_jax.inference.passes import fused
from fgu_jax.merging import merge_clusters
from fgu_jax.parallel import processes
from fgu_jax.training import checks as starting

LEFT_OUT = -1  # cluster of an image that is not learnt from until the next time


def regroup(
    config: Config,
    features: tuple[np.ndarray, np.ndarray],
    labels: np.ndarray,
    mesh: Mesh,
) -> np.ndarray:
    """Clusters of the next epochs, from one pass over the training images.

    Args:
      config: says how: ``clustering`` and what belongs to it.
      features: global [N, D] and patches [U, N, d], unit rows.
      labels: int32 [N], clusters until now; k-means does not look at them.
      mesh: the run's devices; accelerators of the first process merge on them.

    Returns:
      int32 [N], dense in 0..C-1; by k-means, -1 for images that are not reliable.
      Every process gets the first one's.
    """
    compared = features[0]
    if config.merge_features == "fused":
        compared = fused(*features)["fused"]
    if config.clustering == "kmeans":
        return processes.broadcast_array(lambda: _by_kmeans(config, compared), labels)
    here = list(mesh.local_devices)  # the first process merges, on its own devices
    return processes.broadcast_array(
        lambda: merge_clusters(
            compared,
            labels,
            starting.clusters_a_merge(config, len(labels)),
            criterion=config.merge_criterion,
            size_penalty=config.size_penalty,
            devices=None if here[0].platform == "cpu" else here,
        ),
        labels,
    )


def settle(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Clusters of all images: those left out go to the nearest mean of the others.

    Args:
      features: float [N, D].
      labels: int [N], dense but for -1.

    Returns:
      int32 [N], dense.

    >>> settle(np.array([[0.0], [9.0], [8.0]]), np.array([0, 1, -1])).tolist()
    [0, 1, 1]
    """
    labels = np.array(labels, np.int32)
    out = labels == LEFT_OUT
    if out.any():
        rows = int(labels.max()) + 1
        centres = cluster_centres(features[~out], labels[~out], rows=rows)
        labels[out] = nearest_centres(features[out], centres)
    return labels


def _by_kmeans(config: Config, features: np.ndarray) -> np.ndarray:
    count = starting.kmeans_clusters(config, len(features))
    labels, _ = kmeans(features, count, seed=config.seed)
    reliable = reliable_samples(features, labels, threshold=config.reliability)
    return np.where(reliable, labels, np.int32(LEFT_OUT))
