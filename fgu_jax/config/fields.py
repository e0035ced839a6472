"""The configuration of a run: one frozen dataclass, checked, saved as JSON.

Every field is a command-line flag of ``experiments/train.py``. A comment behind a
field is its help text.
"""

import dataclasses
import json
import math
import typing
from pathlib import Path
from typing import Any, Literal

from fgu_jax.errors import InputError


def _field(default: Any, text: str, *, group: str | None = None) -> Any:
    """A field with its help; ``group`` begins a group of the command line's help."""
    about = {"help": text} | ({"group": group} if group else {})
    return dataclasses.field(default=default, metadata=about)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that decides what a run does. Symbols are those of the paper."""

    dataset: str = _field(
        "synthetic",
        "synthetic, market1501, duke, msmt17 or folder",
        group="What to learn from",
    )
    data_dir: str = _field("data", "where datasets lie; for folder: the tree of images")
    pattern: str | None = _field(
        None, "folder: name pattern such as {identity}_c{camera}*.jpg, or a CSV file"
    )
    limit: int | None = _field(None, "first K training images only, by row")
    limit_identities: int | None = _field(
        None, "training images of K identities only; labels choose the subset, no more"
    )
    holdout_identities: int | None = _field(
        None, "evaluate on K identities taken out of the training split"
    )
    difficulty: float = _field(0.35, "synthetic: 0 to 1, how alike and how disturbed")
    skip_bad: bool = _field(False, "go on without images that cannot be read")

    workdir: str | None = _field(
        None,
        "the run's folder; default runs/DATASET or runs/DATASET-METHOD",
        group="Where the run goes",
    )
    preset: str | None = _field(
        None, "named settings; default: quick on synthetic, else paper"
    )
    method: Literal["fgu", "buc", "paul", "pul", "bow", "lomo"] = _field(
        "fgu", "fgu, or one it is compared with: buc, paul, pul, bow, lomo"
    )
    resume: bool = _field(False, "go on with the run in workdir")
    seed: int = _field(0, "decides sampling, augmentation, new weights, generated data")

    backbone: str = _field(
        "resnet50",
        "resnet50, resnet18, resnet_tiny or efficientnet_lite0",
        group="Network",
    )
    init: str = _field("imagenet", "imagenet, random, or a path to weights")
    image_height: int = _field(384, "pixels")
    image_width: int = _field(128, "pixels")
    num_patches: int = _field(6, "U, horizontal stripes; divides the map's height")
    patch_dim: int = _field(256, "d, width of a patch feature")
    patch_generator: Literal["stripes", "affine"] = _field(
        "stripes", "stripes, or affine windows (PAUL's PatchNet)"
    )
    train_patch_generator: bool = _field(False, "train the affine windows too")
    neck: bool = _field(False, "BatchNorm before the global feature is made unit")
    keep_statistics: bool = _field(
        False, "the backbone's BatchNorm keeps the statistics of its weights"
    )
    precision: Literal["float32", "bfloat16"] = _field(
        "float32", "of the backbone; tables, losses and merging stay float32"
    )

    batch_size: int = _field(
        32, "images a step, over all devices", group="Optimisation"
    )
    epochs: int = _field(60, "passes over the training images")
    learning_rate: float = _field(1e-4, "SGD's, at first")
    head_learning_rate: float | None = _field(
        None, "of the new layers (patch heads, neck); default: learning_rate"
    )
    lr_drop_epoch: int | None = _field(50, "epoch after which the rate drops, or none")
    lr_drop_factor: float = _field(0.1, "by this factor")
    momentum: float = _field(0.9, "SGD's")
    weight_decay: float = _field(1e-4, "L2, added to the gradient")

    global_weight: float = _field(
        1.0, "of L_g in eq (7); 0 leaves the global branch out", group="Losses"
    )
    temperature: float = _field(0.1, "tau of eq (1)")
    attract_weight: float = _field(0.5, "beta of eq (4)")
    attract_start: Literal["merge", "always"] = _field(
        "merge", "attracted loss from the first merge on, or always"
    )
    centres: Literal["merge", "epoch", "memory"] = _field(
        "merge", "c of eq (3) is taken at a merge, after every epoch, or is V"
    )
    patch_weight: float = _field(0.8, "lambda of eq (7); 0 leaves the local branch out")
    scale: float = _field(15.0, "s of eq (6): 15, and 5 on duke and msmt17")
    num_neighbors: int = _field(15, "k of eq (6)")
    patch_rate: float = _field(0.1, "m, how fast the patch memory moves")
    memory_start: Literal["features", "zeros"] = _field(
        "features", "cluster memory before the first merge (zeros: as BUC)"
    )

    merge_start: int = _field(
        20, "first epoch after which clusters merge", group="Merging"
    )
    merge_every: int = _field(2, "epochs between merges")
    merge_stop: int = _field(56, "last epoch after which clusters may merge")
    merge_fraction: float = _field(0.05, "gamma: a merge step removes gamma N clusters")
    merge_criterion: Literal["min", "max", "average", "centroid", "median"] = _field(
        "min", "distance between clusters"
    )
    size_penalty: float = _field(
        0.0, "min: added to a distance for each image of the two clusters (BUC: 0.003)"
    )
    memory_at_merge: Literal["features", "memory"] = _field(
        "features", "V after a merge: means of features, or of the rows of V before"
    )
    merge_features: Literal["global", "fused"] = _field(
        "global", "what is compared: the global feature, or the patches' too"
    )
    clustering: Literal["merge", "kmeans"] = _field(
        "merge", "clusters merge; or k-means makes them anew, at first and then (PUL)"
    )
    kmeans_clusters: int | None = _field(
        None, "K of k-means; default 750 of every 12,936 images"
    )
    reliability: float = _field(
        0.85, "kmeans: the cosine to its centre above which an image is learnt from"
    )

    crop: bool = _field(
        True, "random area and aspect crop, as BUC", group="Augmentation"
    )
    flip: bool = _field(True, "horizontal flip of every second image")
    color_jitter: float = _field(0.0, "strength 0..1 of brightness, contrast, colour")
    erasing: float = _field(0.0, "chance that a rectangle is erased")

    eval_every: int = _field(
        10, "epochs between evaluations; 0: the ends only", group="Watching and keeping"
    )
    average_precision: Literal["hits", "trapezoid"] = _field(
        "hits", "AP: mean precision at hits, or the trapezoid of 2015"
    )
    save_every: int = _field(1, "epochs between checkpoints")
    keep: int = _field(2, "newest checkpoints that are kept, beside the best one")
    watch: Literal["warn", "stop", "off"] = _field(
        "warn", "when clusters or features go wrong; what is not finite always stops"
    )
    watch_cluster_share: float = _field(
        0.2, "share of the images that is too much for one cluster"
    )
    watch_spread: float = _field(
        0.05, "share of their first spread below which features have collapsed"
    )
    devices: int | None = _field(None, "how many devices; default all")
    images_on_device: Literal["auto", "always", "never"] = _field(
        "auto", "keep the training images in device memory"
    )
    steps_per_dispatch: int | None = _field(
        None, "steps that devices which hold the images take at once; default 64, CPU 1"
    )
    stream: Literal["auto", "always", "never"] = _field(
        "auto", "decode images as they are needed, if they would fill half the memory"
    )
    shard_tables: bool = _field(
        False, "cut the memories by rows over the devices; for millions of images"
    )
    report: bool = _field(True, "write report/ with plots at the end")

    def __post_init__(self):
        _check_ranges(self)

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
        changes = self.clustering == "kmeans" or self.merge_fraction > 0
        return changes and self.merges_after(epoch)

    def evaluates_after(self, epoch: int) -> bool:
        """Whether the network is evaluated after this epoch (0: before training)."""
        if epoch in (0, self.epochs):
            return True
        return self.eval_every > 0 and epoch % self.eval_every == 0

    def to_json(self) -> str:
        """The configuration as a JSON object, one line a field."""
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"


FIELDS = {field.name: field for field in dataclasses.fields(Config)}
TYPES = typing.get_type_hints(Config)

# Fields that a resumed run may change: they move no number of its future. More
# epochs only lengthen a run; the learning rate drops at an epoch of its own.
MAY_CHANGE_ON_RESUME = frozenset(
    [
        "workdir",
        "resume",
        "epochs",
        "eval_every",
        "data_dir",
        "save_every",
        "keep",
        "watch",
        "watch_cluster_share",
        "watch_spread",
        "report",
        "devices",
        "images_on_device",
        "shard_tables",
        "stream",
        "preset",
    ]
)


def differing(old: Config, new: Config) -> list[str]:
    """Fields in which two configurations differ though a resume may not change them."""
    return [
        name
        for name in FIELDS
        if name not in MAY_CHANGE_ON_RESUME and getattr(old, name) != getattr(new, name)
    ]


_AT_LEAST = {
    "limit": 2,
    "limit_identities": 1,
    "holdout_identities": 2,
    "seed": 0,
    "image_height": 16,
    "image_width": 16,
    "num_patches": 1,
    "patch_dim": 1,
    "batch_size": 1,
    "epochs": 0,
    "lr_drop_epoch": 1,
    "num_neighbors": 1,
    "merge_start": 1,
    "merge_every": 1,
    "eval_every": 0,
    "save_every": 1,
    "keep": 1,
    "devices": 1,
    "steps_per_dispatch": 1,
    "learning_rate": 0,
    "head_learning_rate": 0,
    "global_weight": 0,
    "attract_weight": 0,
    "patch_weight": 0,
    "kmeans_clusters": 2,
    "weight_decay": 0,
    "size_penalty": 0,
    "lr_drop_factor": 0,
}
_ABOVE_ZERO = ("temperature", "scale")
_FRACTIONS = (
    "momentum",
    "patch_rate",
    "merge_fraction",
    "color_jitter",
    "erasing",
    "difficulty",
    "reliability",
    "watch_cluster_share",
    "watch_spread",
)


def _check_ranges(config: Config) -> None:
    for name in FIELDS:
        value = getattr(config, name)
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{name} is {value}: give a finite number")
    for name, least in _AT_LEAST.items():
        value = getattr(config, name)
        if value is not None and value < least:
            raise InputError(f"{name} is {value}: give {least} or more")
    for name in _ABOVE_ZERO:
        if getattr(config, name) <= 0:
            raise InputError(f"{name} is {getattr(config, name)}: give more than 0")
    for name in _FRACTIONS:
        if not 0 <= getattr(config, name) <= 1:
            raise InputError(f"{name} is {getattr(config, name)}: give 0 to 1")
    if config.size_penalty and config.merge_criterion != "min":
        raise InputError(
            f"size_penalty is {config.size_penalty} with merge_criterion "
            f"{config.merge_criterion!r}: it goes with 'min' alone, leave it at 0"
        )
    if config.global_weight == config.patch_weight == 0:
        raise InputError(
            "global_weight and patch_weight are both 0: nothing would be learnt"
        )
    if config.clustering == "kmeans" and config.memory_at_merge == "memory":
        raise InputError(
            "memory_at_merge is 'memory' with clustering 'kmeans', whose clusters are "
            "not made of those before: give memory_at_merge 'features'"
        )
    if config.seed >= 2**32:
        raise InputError(f"seed is {config.seed}: give less than {2**32}")
