"""The configuration of a run: one frozen dataclass, checked, saved as JSON.

Every field is a command-line flag of ``experiments/train.py``. What else is true of a
field stands in its own line, as ``Traits``.
"""

import dataclasses
import functools
import json
import typing
from pathlib import Path
from typing import Literal

from fgu_jax.config.traits import Not, Traits, field

_host = functools.partial(field, compiled=False)  # no program depends on it
_data = functools.partial(_host, of="data")
_kept = functools.partial(_host, resumable=True)
_network = functools.partial(field, of="network")
_merging = functools.partial(_host, of="merging", unless={"clustering": "kmeans"})
_by_number = functools.partial(
    _host, of="merging", unless={"clustering": "kmeans", "distance": "jaccard"}
)
_regrouping = functools.partial(_host, of="regrouping")
_kmeans = functools.partial(_host, of="clusters", unless={"clustering": "merge"})
_jaccard = functools.partial(
    _host, of="regrouping", unless={"clustering": "kmeans", "distance": "euclid"}
)
_clusters = functools.partial(field, of="clusters")
_attracted = functools.partial(
    _clusters, unless={"attract_weight": 0, "global_weight": 0}
)
_patch = functools.partial(_clusters, unless={"patch_weight": 0})
_pedal = functools.partial(
    _clusters, unless={"patch_weight": 0, "patch_loss": "clusters"}
)
_pretraining = functools.partial(field, of="pretraining")
_shared = functools.partial(_host, of="shared untrained")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that decides what a run does. Symbols are those of the paper."""

    dataset: str = _data(
        "synthetic",
        "synthetic, market1501, duke, msmt17, cuhk03, veri, mars or folder",
        group="What to learn from",
    )
    data_dir: str = _data(
        "data",
        "where datasets lie; for folder: the tree of images, or several (a:b)",
        resumable=True,
    )
    pattern: str | None = _data(
        None, "folder: name pattern such as {identity}_c{camera}*.jpg, or a CSV file"
    )
    limit: int | None = _data(None, "first K training images only, by row", least=2)
    limit_identities: int | None = _data(
        None,
        "training images of K identities only; labels choose the subset, no more",
        least=1,
    )
    identities: Literal["all", "first_half", "second_half"] = _data(
        "all",
        "training images of all, or of a half of them, by hash; labels choose it",
    )
    holdout_identities: int | None = _data(
        None, "evaluate on K identities taken out of the training split", least=2
    )
    difficulty: float = _data(
        0.35,
        "synthetic: 0 to 1, how alike and how disturbed",
        fraction=True,
        unless={"dataset": Not("synthetic")},
    )
    skip_bad: bool = _data(False, "go on without images that cannot be read")

    workdir: str | None = _kept(
        None,
        "the run's folder; default runs/DATASET or runs/DATASET-METHOD",
        group="Where the run goes",
        of="folder untrained",
    )
    preset: str | None = _kept(
        None,
        "named settings; default: quick on synthetic, laptop on folder without an "
        "accelerator, else paper",
        of="folder shared untrained",
    )
    method: Literal[
        "fgu",
        "buc",
        "paul",
        "pul",
        "cluster_contrast",
        "spcl",
        "bow",
        "lomo",
        "supervised",
    ] = _shared(
        "fgu",
        "fgu, or one it is compared with: buc, paul, pul, cluster_contrast, spcl, bow, "
        "lomo",
    )
    resume: bool = _kept(False, "go on with the run in workdir", of="folder untrained")
    seed: int = _data(
        0, "decides sampling, augmentation, new weights, generated data", least=0
    )

    backbone: str = _network(
        "resnet50",
        "resnet50, resnet18, resnet_tiny or efficientnet_lite0; resnet_micro, to try a "
        "command out",
        group="Network",
    )
    init: str = _host("imagenet", "imagenet, random, or a path to weights")
    image_shape: Literal["given", "data", "start", "start_network"] = _data(
        "given",
        "given: image_height x image_width; data: as many pixels, in the proportions "
        "of the training images; start: about as many, a multiple of the size of the "
        "run in init, whose network it is; start_network: its network, at the size "
        "given",
    )
    image_height: int = _network(384, "pixels", least=16, of="network untrained")
    image_width: int = _network(128, "pixels", least=16, of="network untrained")
    resize: Literal["squash", "pad"] = _data(
        "squash",
        "squash: to the size, whatever the proportions; pad: kept, with grey beside",
    )
    num_patches: int = _network(
        6, "U, horizontal stripes; divides the map's height", least=1
    )
    patch_dim: int = _network(256, "d, width of a patch feature", least=1)
    patch_generator: Literal["stripes", "affine"] = _network(
        "stripes", "stripes, or affine windows (PAUL's PatchNet)"
    )
    train_patch_generator: bool = field(
        False, "train the affine windows too", unless={"patch_generator": "stripes"}
    )
    pooling: Literal["mean", "gem"] = _network(
        "mean", "of the global feature: mean, or a generalised mean that is learnt"
    )
    neck: bool = _network(False, "BatchNorm before the global feature is made unit")
    keep_statistics: bool = field(
        False, "the backbone's BatchNorm keeps the statistics of its weights"
    )
    batch_norm_group: int | None = field(
        None,
        "images of a batch that BatchNorm takes statistics of at once; none: all",
        least=2,
    )
    precision: Literal["float32", "bfloat16"] = _network(
        "float32", "of the backbone; tables, losses and merging stay float32"
    )

    batch_size: int = field(
        32, "images a step, over all devices", group="Optimisation", least=1
    )
    epochs: int = _host(60, "passes over the training images", least=0, resumable=True)
    images_a_cluster: int | None = _host(
        None,
        "K: a batch is batch_size / K clusters of K images each; none: any images",
        least=2,
    )
    optimizer: Literal["sgd", "adam"] = field("sgd", "sgd with momentum, or adam")
    learning_rate: float = field(1e-4, "at first, or after the warm-up", least=0)
    head_learning_rate: float | None = field(
        None, "of the new layers (patch heads, neck); default: learning_rate", least=0
    )
    lr_drop_epoch: int | None = field(
        50, "epoch after which the rate drops, or none", least=1
    )
    lr_drop_factor: float = field(
        0.1, "by this factor", least=0, unless={"lr_drop_epoch": None}
    )
    warmup_epochs: int = field(
        0, "epochs over which the rate rises from a hundredth", least=0
    )
    cosine_epoch: int | None = field(
        None, "epoch at whose end a half cosine has brought the rate to 0", least=1
    )
    restart_epoch: int | None = field(
        None,
        "epoch at whose end a half cosine has brought the rate to 0 and another, to "
        "cosine_epoch, begins",
        least=1,
        unless={"cosine_epoch": None},
    )
    restart_factor: float = field(
        0.5,
        "of the rate, where it begins again",
        least=0,
        unless={"restart_epoch": None},
    )
    momentum: float = field(0.9, "SGD's", fraction=True, unless={"optimizer": "adam"})
    weight_decay: float = field(1e-4, "L2, added to the gradient", least=0)
    teacher: float = field(
        0.0,
        "share that a mean teacher keeps a step; its features are the run's. 0: none",
        fraction=True,
    )

    global_weight: float = _clusters(
        1.0,
        "of L_g in eq (7); 0 leaves the global branch out",
        group="Losses",
        least=0,
        traced=True,
    )
    temperature: float = field(
        0.1, "tau of eq (1)", above=0, unless={"learns_clusters": False}
    )
    last_temperature: float | None = _clusters(
        None,
        "tau from the end of last_temperature_epoch on; by equal ratios till then",
        above=0,
        unless={"learns_clusters": False},
    )
    last_temperature_epoch: int = _clusters(
        1, "when it is reached", least=1, unless={"last_temperature": None}
    )
    attract_weight: float = _clusters(
        0.5, "beta of eq (4)", least=0, traced=True, unless={"global_weight": 0}
    )
    attract_start: Literal["merge", "always"] = _attracted(
        "merge", "attracted loss from the first merge on, or always"
    )
    centres: Literal["merge", "epoch", "memory"] = _attracted(
        "merge", "c of eq (3) is taken at a merge, after every epoch, or is V"
    )
    patch_weight: float = _clusters(
        0.8, "lambda of eq (7); 0 leaves the local branch out", least=0, traced=True
    )
    patch_loss: Literal["pedal", "clusters"] = _patch(
        "pedal", "of patches: PEDAL, or the repelled loss with a W row a cluster"
    )
    refine: float = _clusters(
        0.0,
        "share of the patches' predictions in the target of v (PPLR: 0.5)",
        fraction=True,
        unless={"patch_weight": 0, "patch_loss": "pedal", "global_weight": 0},
    )
    smooth_patches: float = _clusters(
        0.0,
        "how far the target of a patch that disagrees with v is smoothed (PPLR: 1)",
        fraction=True,
        unless={"patch_weight": 0, "patch_loss": "pedal"},
    )
    scale: float = _pedal(15.0, "s of eq (6): 15, and 5 on duke and msmt17", above=0)
    num_neighbors: int = _pedal(15, "k of eq (6)", least=1)
    patch_rate: float = _pedal(0.1, "m, how fast the patch memory moves", fraction=True)
    memory_rows: Literal["clusters", "images"] = _clusters(
        "clusters",
        "V has a row a cluster, or an image: a cluster's is then their mean (SpCL)",
        unless={"global_weight": 0},
    )
    memory_rate: float = _clusters(
        0.5, "share of a row of V that a new feature takes", fraction=True
    )
    memory_update: Literal["each", "hardest"] = _clusters(
        "each", "V takes each image of a batch, or each cluster's least alike"
    )
    memory_start: Literal["features", "zeros"] = _host(
        "features",
        "cluster memory before the first merge (zeros: as BUC)",
        of="clusters",
        unless={"global_weight": 0, "clustering": "kmeans"},
    )

    label_smoothing: float = _pretraining(
        0.1, "pretraining: share of a label that all identities have", fraction=True
    )
    triplet_margin: float | None = _pretraining(
        None,
        "pretraining: of the batch-hard triplet loss on the global feature, or none",
        least=0,
    )

    merge_start: int = _regrouping(
        20,
        "first epoch after which clusters merge; 0: before the first",
        group="Merging",
        least=0,
    )
    merge_every: int = _regrouping(2, "epochs between merges", least=1)
    merge_stop: int = _regrouping(56, "last epoch after which clusters may merge")
    merge_from: Literal["clusters", "images"] = _merging(
        "clusters", "clusters merge on, or are made anew from single images"
    )
    distance: Literal["euclid", "jaccard"] = _merging(
        "euclid",
        "of features to a number of clusters, or of neighbourhoods to max_distance",
    )
    k1: int | None = _jaccard(
        None, "jaccard: nearest images that are compared; none: by the data", least=1
    )
    k2: int | None = _jaccard(
        None, "jaccard: nearest images that are averaged; none: 0.3 k1", least=1
    )
    max_distance: float = _jaccard(
        0.73, "jaccard: clusters merge while they are no farther", fraction=True
    )
    last_max_distance: float | None = _jaccard(
        None,
        "jaccard: what max_distance has become at merge_stop, evenly",
        least=0,
    )
    use_cameras: bool = _regrouping(
        False, "features are centred by camera to be compared; batches are by camera"
    )
    backgrounds: int = _regrouping(
        0,
        "groups of images with like colours at their left and right edges, which are "
        "used as cameras are; 0: none",
        least=0,
    )
    use_tracks: bool = _jaccard(
        False,
        "jaccard: images of one track ({track} of the pattern, a table's column) are "
        "kept together, boxes of one picture apart",
    )
    links: str | None = _jaccard(
        None,
        "jaccard: a person's answers to honour, the CSV that review.py's page saves",
    )
    handcrafted: Literal["none", "bow", "lomo", "both"] = _regrouping(
        "none",
        "made by hand and compared beside the network's features, alone before the "
        "first epoch",
    )
    handcrafted_share: float = _regrouping(
        0.5,
        "of a similarity that they have, after the first epoch",
        fraction=True,
        unless={"handcrafted": "none"},
    )
    handcrafted_stop: int | None = _regrouping(
        None,
        "last epoch after which they are compared; none: whenever clusters are made",
        least=0,
        unless={"handcrafted": "none"},
    )
    distance_gap: float = _jaccard(
        0.0,
        "jaccard: clusters that are others at so much less or more are taken apart "
        "(SpCL: 0.02); 0: none are",
        fraction=True,
    )
    alone: Literal["kept", "left_out"] = _jaccard(
        "kept", "jaccard: an image in no cluster is one of its own, or not learnt from"
    )
    unsure_left_out: float = _jaccard(
        0.0,
        "jaccard: share of the images in clusters, least sure of theirs, that are not "
        "learnt from until the next time",
        fraction=True,
    )
    merge_fraction: float = _by_number(
        0.05, "gamma: a merge step removes gamma N clusters", fraction=True
    )
    merge_criterion: Literal[
        "min", "max", "average", "centroid", "median", "dbscan"
    ] = _merging("min", "distance between clusters; or DBSCAN, of jaccard")
    size_penalty: float = _by_number(
        0.0,
        "min: added to a distance for each image of the two clusters (BUC: 0.003)",
        least=0,
    )
    memory_at_merge: Literal["features", "memory"] = _regrouping(
        "features",
        "V after a merge: means of features, or of the rows of V before",
        unless={"learns_clusters": False, "memory_rows": "images"},
    )
    merge_features: Literal["global", "fused", "memory"] = _regrouping(
        "global",
        "what is compared: the global feature, the patches' too, or V of images",
    )
    clustering: Literal["merge", "kmeans"] = _host(
        "merge",
        "clusters merge; or k-means makes them anew, at first and then (PUL)",
        of="clusters",
    )
    kmeans_clusters: int | None = _kmeans(
        None, "K of k-means; default 750 of every 12,936 images", least=2
    )
    reliability: float = _kmeans(
        0.85,
        "kmeans: the cosine to its centre above which an image is learnt from",
        fraction=True,
    )

    crop: bool = field(
        True, "random area and aspect crop, as BUC", group="Augmentation"
    )
    pad: int = field(
        0, "in place of crop: pixels of black around an image, cut at random", least=0
    )
    flip: bool = field(True, "horizontal flip of every second image")
    color_jitter: float = field(
        0.0, "strength 0..1 of brightness, contrast, colour", fraction=True
    )
    erasing: float = field(0.0, "chance that a rectangle is erased", fraction=True)

    eval_every: int = _kept(
        10,
        "epochs between evaluations; 0: the ends only",
        group="Watching and keeping",
        least=0,
    )
    average_precision: Literal["hits", "trapezoid"] = _shared(
        "hits", "AP: mean precision at hits, or the trapezoid of 2015"
    )
    save_every: int = _kept(1, "epochs between checkpoints", least=1, of="folder")
    keep: int = _kept(
        2, "newest checkpoints that are kept, beside the best one", least=1, of="folder"
    )
    watch: Literal["warn", "stop", "off"] = _kept(
        "warn", "when clusters or features go wrong; what is not finite always stops"
    )
    watch_cluster_share: float = _kept(
        0.2,
        "share of the images that is too much for one cluster",
        fraction=True,
        of="clusters",
    )
    watch_spread: float = _kept(
        0.05,
        "share of their first spread below which features have collapsed",
        fraction=True,
        of="clusters",
    )
    devices: int | None = field(
        None, "how many devices; default all", least=1, resumable=True, of="untrained"
    )
    images_on_device: Literal["auto", "always", "never"] = field(
        "auto", "keep the training images in device memory", resumable=True
    )
    steps_per_dispatch: int | None = field(
        None,
        "steps that devices which hold the images take at once; default 64, CPU 1",
        least=1,
    )
    stream: Literal["auto", "always", "never"] = _kept(
        "auto",
        "decode images as they are needed, if they would fill half the memory",
        of="untrained",
    )
    shard_tables: bool = field(
        False,
        "cut the memories by rows over the devices; for millions of images",
        resumable=True,
    )
    report: bool = _kept(True, "write report/ with plots at the end", of="folder")

    def __post_init__(self):
        from fgu_jax.config.validate import validate  # late: it looks at the traits
        from fgu_jax.data.published import command_name  # late: it asks for NumPy

        object.__setattr__(self, "dataset", command_name(self.dataset))
        validate(self)

    @property
    def directory(self) -> Path:
        """The run's folder."""
        of_method = "" if self.method == "fgu" else f"-{self.method}"
        return Path(self.workdir or f"runs/{self.dataset}{of_method}")

    def merges_after(self, epoch: int) -> bool:
        """Whether clusters merge after this epoch (counted from 1)."""
        in_time = self.merge_start <= epoch <= self.merge_stop
        return in_time and (epoch - self.merge_start) % self.merge_every == 0

    def regroups_after(self, epoch: int) -> bool:
        """Whether images get other clusters after this epoch, merged or by k-means."""
        by_number = self.clustering == "merge" and self.distance == "euclid"
        changes = self.merge_fraction > 0 or not by_number
        if epoch == 0 and self.clustering == "kmeans":
            return True
        return changes and self.merges_after(epoch)

    @property
    def learns_clusters(self) -> bool:
        """Whether a loss tells clusters apart: of the global feature, or of patches."""
        of_patches = self.patch_weight > 0 and self.patch_loss == "clusters"
        return self.global_weight > 0 or of_patches

    @property
    def refines(self) -> bool:
        """Whether targets are refined by how far patches agree with the whole."""
        of_clusters = self.patch_weight > 0 and self.patch_loss == "clusters"
        return of_clusters and max(self.refine, self.smooth_patches) > 0

    def merges_up_to(self, epoch: int) -> float:
        """The largest Jaccard distance at which clusters merge after this epoch."""
        if self.last_max_distance is None or self.merge_stop <= self.merge_start:
            return self.max_distance
        done = (epoch - self.merge_start) / (self.merge_stop - self.merge_start)
        opened = self.last_max_distance - self.max_distance
        return self.max_distance + min(max(done, 0), 1) * opened

    def compares_handcrafted(self, epoch: int) -> bool:
        """Whether what is made by hand is compared beside the features after it."""
        last = self.handcrafted_stop
        return self.handcrafted != "none" and (last is None or epoch <= last)

    def evaluates_after(self, epoch: int) -> bool:
        """Whether the network is evaluated after this epoch (0: before training)."""
        if epoch in (0, self.epochs):
            return True
        return self.eval_every > 0 and epoch % self.eval_every == 0

    def to_json(self) -> str:
        """The configuration as a JSON object, one line a field."""
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"


FIELDS = {made.name: made for made in dataclasses.fields(Config)}
TYPES = typing.get_type_hints(Config)
TRAITS: dict[str, Traits] = {k: f.metadata["traits"] for k, f in FIELDS.items()}
MAY_CHANGE_ON_RESUME = frozenset(k for k, t in TRAITS.items() if t.resumable)
NOT_COMPILED = frozenset(k for k, t in TRAITS.items() if not t.compiled)
TRACED = tuple(k for k, t in TRAITS.items() if t.traced)


def fields_of(*rooms: str) -> tuple[str, ...]:
    """Fields that belong to one of these ``ROOMS``, in the order of ``Config``.

    >>> fields_of("merging")
    ('merge_from', 'distance', 'merge_fraction', 'merge_criterion', 'size_penalty')
    """
    return tuple(k for k, t in TRAITS.items() if {*rooms} & {*t.of.split()})


def differing(old: Config, new: Config) -> list[str]:
    """Fields in which two configurations differ though a resume may not change them."""
    return [
        name
        for name in FIELDS
        if name not in MAY_CHANGE_ON_RESUME and getattr(old, name) != getattr(new, name)
    ]
