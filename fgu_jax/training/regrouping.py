"""The clusters that images get between epochs: merged bottom-up, or k-means anew."""

import jax
import numpy as np
from jax.sharding import Mesh

from fgu_jax.clustering.kmeans import kmeans, nearest_centres, reliable_samples
from fgu_jax.clustering.means import cluster_centres
from fgu_jax.config import Config
from fgu_jax.errors import InputError
from fgu_jax.inference.passes import fused
from fgu_jax.merging import merge_clusters
from fgu_jax.parallel import processes
from fgu_jax.training.placement import place_state, with_whole_tables
from fgu_jax.training.state import TrainState, with_clusters, with_merged_memory

LEFT_OUT = -1  # cluster of an image that is not learnt from until the next time


def regroup(
    config: Config,
    state: TrainState,
    features: tuple[np.ndarray, np.ndarray],
    mesh: Mesh,
) -> TrainState:
    """The state of the next epochs, placed: labels, V and c all come from one pass.

    Args:
      config: says how: ``clustering``, ``memory_at_merge`` and what belongs to them.
      state: before the merge.
      features: of the training images, global [N, D] and patches [U, N, d], unit rows.
      mesh: the run's devices.
    """
    labels = new_clusters(config, features, jax.device_get(state.labels), mesh)
    if config.memory_at_merge == "memory":
        state = with_merged_memory(with_whole_tables(state), labels, features[0])
    else:
        state = with_clusters(state, labels, features[0])
    return place_state(state, mesh, shard_tables=config.shard_tables)


def new_clusters(
    config: Config,
    features: tuple[np.ndarray, np.ndarray],
    labels: np.ndarray,
    mesh: Mesh,
) -> np.ndarray:
    """Clusters of the next epochs.

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
    here = list(mesh.local_devices)  # the first process merges, on its own devices

    def group() -> np.ndarray:
        if config.clustering == "kmeans":
            return _by_kmeans(config, compared)
        return merge_clusters(
            compared,
            labels,
            clusters_a_merge(config, len(labels)),
            criterion=config.merge_criterion,
            size_penalty=config.size_penalty,
            devices=None if here[0].platform == "cpu" else here,
        )

    return processes.broadcast_array(group, labels)


def clusters_a_merge(config: Config, num_images: int) -> int:
    """n = floor(gamma N), the clusters that a merge step removes."""
    # A decimal gamma such as 0.29 of 100 is 28.999... in binary.
    return int(np.floor(config.merge_fraction * num_images + 1e-9))


def kmeans_clusters(config: Config, num_images: int) -> int:
    """K of k-means: what is asked for, or 750 of every 12,936 images, as PUL.

    Raises:
      InputError: more than there are images.
    """
    count = config.kmeans_clusters
    if count is None:
        return min(num_images, max(2, round(num_images * 750 / 12_936)))
    if count > num_images:
        raise InputError(
            f"kmeans_clusters is {count} of {num_images} images: give {num_images} or "
            "fewer"
        )
    return count


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
    count = kmeans_clusters(config, len(features))
    labels, _ = kmeans(features, count, seed=config.seed)
    reliable = reliable_samples(features, labels, threshold=config.reliability)
    return np.where(reliable, labels, np.int32(LEFT_OUT))
