"""The clusters that images get between epochs: merged bottom-up, or made anew."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from fgu_jax import clustering
from fgu_jax.clustering.cameras import centred
from fgu_jax.clustering.kmeans import kmeans, reliable_samples
from fgu_jax.clustering.links import in_one
from fgu_jax.config import Config
from fgu_jax.errors import InputError
from fgu_jax.inference.passes import fused
from fgu_jax.merging import merge_clusters
from fgu_jax.parallel import processes
from fgu_jax.training.appearance import beside
from fgu_jax.training.left_out import (
    LEFT_OUT,
    Refused,
    nothing_to_learn_from,
    of_count,
    without_the_unsure,
    without_those_alone,
)
from fgu_jax.training.placement import place_state, with_whole_tables
from fgu_jax.training.state import (
    TrainState,
    with_clusters,
    with_labels,
    with_merged_memory,
    with_patch_clusters,
)
from fgu_jax.training.together import NOTHING, Together


class Grouped(NamedTuple):
    """Clusters of the next epochs.

    Attributes:
      labels: int32 [N], dense in 0..C-1; -1 for images that are not learnt from now: by
        k-means not reliable, otherwise in no cluster.
      independence: float32, what ``clustering.self_paced`` measures clusters by; nan
        where it is not asked for.
    """

    labels: np.ndarray
    independence: np.float32 = np.float32(np.nan)


class Regrouped(NamedTuple):
    """What came of new clusters.

    Attributes:
      state: of the next epochs; the one before where they were not taken.
      refused: why not, of ``nothing_to_learn_from``; or none.
    """

    state: TrainState
    refused: Refused | None = None


def regroup(
    config: Config,
    state: TrainState,
    features: tuple[np.ndarray, np.ndarray],
    mesh: Mesh,
    *,
    epoch: int,
    views: tuple[np.ndarray, ...] = (),
    made: np.ndarray | None = None,
    together: Together = NOTHING,
) -> Regrouped:
    """The state of the next epochs, placed: labels, V and c all come from one pass.

    Clusters to learn nothing from are not taken: all images in one, or none that
    holds two (of k-means a cluster may hold one that is reliable). The state is then
    the one before.

    Args:
      config: says how: ``clustering``, ``memory_at_merge`` and what belongs to them.
      state: before the merge.
      features: of the training images, global [N, D] and patches [U, N, d], unit rows.
      mesh: the run's devices.
      epoch: after which it is, counted from 1; 0 before the first.
      views: int [N] each, of where images were taken: see ``new_clusters``.
      made: float [N, F], unit rows made by hand, where there are any.
      together: links and tracks to honour.
    """
    before = jax.device_get(state.labels)
    compared = features
    if config.merge_features == "memory":
        compared = jax.device_get(state.cluster_memory), features[1]
    labels, independence = new_clusters(
        config,
        compared,
        before,
        mesh,
        epoch=epoch,
        views=views,
        made=made,
        together=together,
        independence=state.independence,
    )
    refused = nothing_to_learn_from(labels, of_one=config.clustering == "kmeans")
    if refused:
        return Regrouped(state, refused)
    if state.independence is not None:
        state = state.replace(independence=jnp.asarray(independence))
    of_images = config.memory_rows == "images"
    goes_on = config.memory_at_merge == "memory" and not of_images
    patches = features[1]
    if goes_on or config.patch_loss == "clusters":
        state = with_whole_tables(state)
    if goes_on:
        if config.patch_loss == "clusters":
            old = jax.device_get(state.patch_memory)[:, before]
            patches = np.where((before >= 0)[None, :, None], old, patches)
        state = with_merged_memory(state, labels, features[0])
    elif of_images:
        state = with_labels(state, labels, features[0])
    else:
        state = with_clusters(state, labels, features[0])
    if config.patch_loss == "clusters":
        state = with_patch_clusters(state, patches)
    if config.refines:
        state = state.replace(agreement=_agreement(features, views))
    return Regrouped(place_state(state, mesh, shard_tables=config.shard_tables))


def new_clusters(
    config: Config,
    features: tuple[np.ndarray, np.ndarray],
    labels: np.ndarray,
    mesh: Mesh,
    *,
    epoch: int,
    views: tuple[np.ndarray, ...] = (),
    made: np.ndarray | None = None,
    together: Together = NOTHING,
    independence: Any = None,
) -> Grouped:
    """Clusters of the next epochs; every process gets the first one's.

    Args:
      config: says how: ``clustering`` and what belongs to it.
      features: global [N, D] and patches [U, N, d], unit rows.
      labels: int32 [N], clusters until now; what is made anew does not look at them.
      mesh: the run's devices; accelerators of the first process merge on them.
      epoch: after which it is, counted from 1; 0 before the first.
      views: int [N] each, cameras and groups by background; the compared features
        are centred by each.
      made: float [N, F], unit rows made by hand, compared beside them; before the first
        epoch alone.
      together: links and tracks to honour.
      independence: of the first clusters, where ``distance_gap`` asks for it; nan if
        these are they.
    """
    compared = features[0]
    if config.merge_features == "fused":
        compared = fused(*features)["fused"]
    if made is not None:
        share = config.handcrafted_share if epoch > 0 else 1.0
        compared = beside(compared, made, share=share)
    compared = centred(compared, *views)
    here = list(mesh.local_devices)  # the first process merges, on its own devices
    measured = [np.nan]

    def group() -> np.ndarray:
        if config.clustering == "kmeans":
            return _by_kmeans(config, compared)
        if config.distance == "jaccard":
            if together:
                return _honouring(config, compared, epoch, together)
            found = _by_neighbourhoods(config, compared, labels, epoch, independence)
            measured.append(float(found.independence))
            return found.labels
        start, count = labels, clusters_a_merge(config, len(labels))
        if config.merge_from == "images":
            count += len(labels) - 1 - int(labels.max())
            start = np.arange(len(labels), dtype=np.int32)
        return merge_clusters(
            compared,
            start,
            count,
            criterion=config.merge_criterion,
            size_penalty=config.size_penalty,
            devices=None if here[0].platform == "cpu" else here,
        )

    found = processes.broadcast_array(group, labels)
    return Grouped(found, np.float32(processes.broadcast(measured[-1])))


def _agreement(
    features: tuple[np.ndarray, np.ndarray], views: tuple[np.ndarray, ...]
) -> jax.Array:
    """Float32 [U, N]: of each patch with the global feature; the first process's."""

    def compare() -> np.ndarray:
        whole = centred(features[0], *views)
        parts = (centred(patches, *views) for patches in features[1])
        return np.stack([clustering.agreement(whole, part) for part in parts])

    like = np.empty(features[1].shape[:2], np.float32)
    return jnp.asarray(processes.broadcast_array(compare, like))


def clusters_a_merge(config: Config, num_images: int) -> int:
    """n = floor(gamma N), the clusters that a merge step removes."""
    return of_count(config.merge_fraction, num_images)


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


def _by_neighbourhoods(
    config: Config,
    features: np.ndarray,
    labels: np.ndarray,
    epoch: int,
    independence: Any = None,
) -> Grouped:
    """Clusters on the Jaccard distance of k-reciprocal neighbourhoods."""
    graph = clustering.neighbour_graph(features, k1=config.k1, k2=config.k2)
    links: dict[str, Callable[..., np.ndarray]] = {
        "dbscan": clustering.dbscan,
        "min": clustering.single_linkage,
        "max": clustering.complete_linkage,
        "average": clustering.average_linkage,
    }
    link = links[config.merge_criterion]
    if config.merge_criterion in ("max", "average"):
        together = in_one(labels) if config.merge_from == "clusters" else ()
        link = functools.partial(link, must_link=together)
    farthest, gap, most = config.merges_up_to(epoch), config.distance_gap, np.nan
    found = link(graph, max_distance=farthest)
    if gap:
        tight, loose = (
            link(graph, max_distance=min(max(farthest + by, 0), 1))
            for by in (-gap, gap)
        )
        first = independence is None or np.isnan(independence)
        known = None if first else float(independence)
        found, most = clustering.self_paced(found, tight, loose, most=known)
    found = clustering.with_those_alone(found)

    def confidence() -> np.ndarray:
        return clustering.standing(graph, found).confidence

    return Grouped(_learnt_from(config, found, confidence), np.float32(most))


def _honouring(
    config: Config, features: np.ndarray, epoch: int, together: Together
) -> np.ndarray:
    """Clusters of average linkage that honour links and tracks: ``clustering``."""
    made = clustering.clustering(
        features,
        max_distance=config.merges_up_to(epoch),
        k1=config.k1,
        k2=config.k2,
        tracks=together.tracks,
        must_link=together.must_link,
        cannot_link=together.cannot_link,
    )
    return _learnt_from(config, made.labels, lambda: made.standing.confidence)


def _learnt_from(
    config: Config, labels: np.ndarray, confidence: Callable[[], np.ndarray]
) -> np.ndarray:
    """The clusters int32 [N] less the images that are not learnt from now."""
    if config.unsure_left_out:
        labels = without_the_unsure(labels, confidence(), config.unsure_left_out)
    return without_those_alone(labels) if config.alone == "left_out" else labels


def _by_kmeans(config: Config, features: np.ndarray) -> np.ndarray:
    count = kmeans_clusters(config, len(features))
    labels, _ = kmeans(features, count, seed=config.seed)
    reliable = reliable_samples(features, labels, threshold=config.reliability)
    return np.where(reliable, labels, np.int32(LEFT_OUT))
