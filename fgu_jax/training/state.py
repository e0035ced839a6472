"""The state of training: one explicit pytree that holds everything with a future."""

from typing import Any, Protocol

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import PartitionSpec as P

from fgu_jax.clustering.means import cluster_centres
from fgu_jax.parallel.mesh import AXIS

# Summed over the steps of an epoch, in the state, so that a run stopped within an
# epoch reports the same means when it goes on.
LOSSES = ("loss", "loss_repelled", "loss_attracted", "loss_patch")


class Stepped(Protocol):
    """What the steps of an epoch need to know of a state, whatever it trains."""

    @property
    def step(self) -> Any:
        """Int32, batches seen."""

    @property
    def labels(self) -> Any:
        """Int32 [N], cluster or class of each image."""

    @property
    def sums(self) -> dict:
        """Of the losses over this epoch."""


TABLES = {"cluster_memory": 0, "centres": 0, "patch_memory": 1}  # the axis of rows


class TrainState(flax.struct.PyTreeNode):
    """Network, optimiser, memories and labels.

    Tables have C_max = N rows from the start and are masked by ``num_clusters``: no
    merge changes a shape, so none recompiles the step. Tables that are cut over
    devices are padded at their ends; N is always the length of ``labels``.
    """

    step: jax.Array  # int32, batches seen
    params: dict
    batch_stats: dict
    opt_state: optax.OptState
    labels: jax.Array  # int32 [N], y: cluster of each image; -1: not learnt from now
    num_clusters: jax.Array  # int32, C
    cluster_memory: jax.Array  # [N, D], V
    centres: jax.Array  # [N, D], c
    patch_memory: jax.Array  # [U, N, d], W: a row an image, or a cluster
    sums: dict  # float32 sums of LOSSES over this epoch
    key: jax.Array  # of augmentation
    teacher: dict | None = None  # params and batch_stats of the mean teacher
    agreement: jax.Array | None = None  # float32 [U, N], 0 to 1: of each patch with v
    independence: jax.Array | None = None  # float32, of the first clusters: self_paced


def create(
    *,
    variables: dict,
    optimizer: optax.GradientTransformation,
    global_features: np.ndarray | jax.Array,
    patches: np.ndarray | jax.Array,
    seed: int,
    memory_start: str = "features",
    teacher: bool = False,
    agreement: bool = False,
    independence: bool = False,
    on_host: bool = False,
) -> TrainState:
    """The state before the first step: every image its own cluster.

    Args:
      variables: the network's ``params`` and ``batch_stats``.
      optimizer: an optax transformation.
      global_features: float [N, D], unit rows of the first pass.
      patches: float [U, N, d], unit rows of the same pass.
      seed: of augmentation.
      memory_start: ``features`` fills V with the first pass, ``zeros`` as BUC.
      teacher: there is a mean teacher, equal to the network at first.
      agreement: targets are refined by it; 1 until clusters are first made.
      independence: clusters are self-paced by it; nan until they are first made.
      on_host: tables are NumPy arrays, so that no device has to hold them whole.

    Returns:
      ``TrainState``.
    """
    num_images = len(global_features)
    arrays = np if on_host else jnp
    table = arrays.asarray(global_features)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=variables["params"],
        batch_stats=variables["batch_stats"],
        opt_state=optimizer.init(variables["params"]),
        labels=jnp.arange(num_images, dtype=jnp.int32),
        num_clusters=jnp.asarray(num_images, jnp.int32),
        cluster_memory=arrays.zeros_like(table) if memory_start == "zeros" else table,
        centres=arrays.array(global_features),
        patch_memory=arrays.asarray(patches),
        sums=zero_sums(table.dtype),
        key=jax.random.key(seed),
        # Copies: the state is donated, and no array may be given away twice.
        teacher=jax.tree.map(jnp.array, dict(variables)) if teacher else None,
        agreement=jnp.ones(patches.shape[:2], jnp.float32) if agreement else None,
        independence=jnp.asarray(jnp.nan, jnp.float32) if independence else None,
    )


def result(state: TrainState) -> dict:
    """Variables of the network whose features are the run's: the teacher's, if any."""
    if state.teacher is not None:
        return state.teacher
    return {"params": state.params, "batch_stats": state.batch_stats}


def exchanged(state: TrainState) -> TrainState:
    """The state with network and teacher in each other's place; twice, it is itself.

    So it is saved: what a checkpoint calls its network is that of its features.
    """
    if state.teacher is None:
        return state
    student = {"params": state.params, "batch_stats": state.batch_stats}
    return state.replace(**state.teacher, teacher=student)


def zero_sums(dtype=jnp.float32) -> dict:
    """The sums at the start of an epoch."""
    return {name: jnp.zeros((), dtype) for name in LOSSES}


def with_clusters(
    state: TrainState, labels: np.ndarray, global_features: np.ndarray
) -> TrainState:
    """The state after a merge: V and c rebuilt from the new labels and one pass.

    V is the unit mean and c the mean of a cluster's images (method: both from the
    features that decided the merge).

    Args:
      state: the state before.
      labels: int32 [N], dense; -1 for images that are in no cluster now.
      global_features: float [N, D], unit rows of the pass that was merged on.

    Returns:
      ``TrainState`` with new labels, num_clusters, cluster_memory and centres.
    """
    centres = _centres(state, labels, global_features)
    length = np.linalg.norm(centres, axis=1, keepdims=True)
    table = centres / np.maximum(length, np.finfo(centres.dtype).tiny)
    return state.replace(
        labels=jnp.asarray(labels, jnp.int32),
        num_clusters=jnp.asarray(int(labels.max()) + 1, jnp.int32),
        centres=centres.astype(state.centres.dtype),
        cluster_memory=table.astype(state.cluster_memory.dtype),
    )


def with_merged_memory(
    state: TrainState, labels: np.ndarray, global_features: np.ndarray
) -> TrainState:
    """The state after a merge whose V goes on: rows of merged clusters are averaged.

    V was gathered in training mode, from augmented images; rows of an evaluation-mode
    pass are others, and the loss has to move the network to where they are.

    Args:
      state: the state before, its tables whole.
      labels: int32 [N], dense; -1 for images that are in no cluster now.
      global_features: float [N, D], unit rows; c is their mean.

    Returns:
      As ``with_clusters``, but a row of V is the unit mean of the old rows of its
      images, a cluster counted by its size. An image that was in no cluster counts
      with its feature.
    """
    before = jax.device_get(state.labels)
    of_images = jax.device_get(state.cluster_memory)[before]
    length = np.linalg.norm(of_images, axis=1, keepdims=True)
    # A row that no image has come to yet is zero (``memory_start``): its feature then.
    had_row = (length > 0.5) & (before >= 0)[:, None]
    of_images = np.where(had_row, of_images, global_features)
    merged = with_clusters(state, labels, of_images)
    return with_centres(merged, global_features)


def with_labels(
    state: TrainState, labels: np.ndarray, global_features: np.ndarray
) -> TrainState:
    """The state with other clusters whose V, with a row an image, goes on.

    Args:
      state: the state before.
      labels: int32 [N], dense; -1 for images that are in no cluster now.
      global_features: float [N, D], unit rows; c is their mean.

    Returns:
      ``TrainState`` with new labels, num_clusters and centres.
    """
    state = state.replace(
        labels=jnp.asarray(labels, jnp.int32),
        num_clusters=jnp.asarray(int(labels.max()) + 1, jnp.int32),
    )
    return with_centres(state, global_features)


def with_patch_clusters(state: TrainState, patches: np.ndarray) -> TrainState:
    """The state whose W has a row a cluster: the unit mean of its images' patches.

    Args:
      state: with the clusters that W is made for, its tables whole.
      patches: float [U, N, d], unit rows.

    Returns:
      ``TrainState`` with new rows 0..C-1 of W; those beyond are dead and stay.
    """
    labels, count = jax.device_get(state.labels), int(state.num_clusters)
    inside = labels >= 0
    table = np.array(jax.device_get(state.patch_memory))
    for row, of_images in zip(table, patches, strict=True):
        means = cluster_centres(of_images[inside], labels[inside], rows=count)
        length = np.linalg.norm(means, axis=1, keepdims=True)
        row[:count] = means / np.maximum(length, np.finfo(means.dtype).tiny)
    return state.replace(patch_memory=table)


def with_centres(state: TrainState, global_features: np.ndarray) -> TrainState:
    """The state with the centres c of its own clusters, from one pass.

    Args:
      state: the state before.
      global_features: float [N, D], unit rows.

    Returns:
      ``TrainState`` with new centres.
    """
    centres = _centres(state, jax.device_get(state.labels), global_features)
    return state.replace(centres=centres.astype(state.centres.dtype))


def _centres(
    state: TrainState, labels: np.ndarray, global_features: np.ndarray
) -> np.ndarray:
    inside = labels >= 0
    return cluster_centres(
        global_features if inside.all() else global_features[inside],
        labels[inside],
        rows=state.centres.shape[0],
    )


def specs(*, shard_tables: bool) -> Any:
    """Where a state lies on the mesh: a prefix of its tree, of ``PartitionSpec``.

    >>> tuple(specs(shard_tables=True).patch_memory)
    (None, 'data')
    """
    if not shard_tables:
        return P()
    places: dict[str, Any] = dict.fromkeys(TrainState.__dataclass_fields__, P())
    for name, axis in TABLES.items():
        places[name] = P(*[None] * axis, AXIS)
    return TrainState(**places)
