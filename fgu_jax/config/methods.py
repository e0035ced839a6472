"""Methods that FGU is compared with, as settings of the same data and network.

A method's settings come after the preset's and the dataset's, and before those that a
user gives. What a method *is* holds under every preset. The schedule and rates of its
paper hold under ``--preset=paper`` alone: elsewhere methods are compared at the
preset's own budget.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from fgu_jax.config.fields import FIELDS, fields_of
from fgu_jax.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
    """Settings of a method.

    Attributes:
      title: its name in tables.
      fields: what it is, whatever the preset.
      paper: schedule and rates of its own paper, under ``--preset=paper``.
      elsewhere: what is better than its paper, under the other presets.
      unused: fields that mean nothing to it, and are refused where they are given.
      merging: it stands on presets as they were before they made clusters anew.
    """

    title: str
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    paper: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    elsewhere: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    unused: frozenset[str] = frozenset()
    merging: bool = False


# Its flags are those of ``pretrain.py``: of all methods it alone learns from labels.
SUPERVISED = "supervised"
# What it leaves out of the presets: nothing is clustered, remembered or reported.
_WITHOUT_CLUSTERS: dict[str, Any] = {
    "teacher": 0.0,
    "use_cameras": False,
    "backgrounds": 0,
    "handcrafted": "none",
    "watch": "off",
    "shard_tables": False,
    "report": False,
}
_OF_CLUSTERS = frozenset(fields_of("merging", "regrouping", "clusters")) | {
    *_WITHOUT_CLUSTERS
}
_PRETRAINING = frozenset(fields_of("pretraining"))

_OF_TRAINING = frozenset(FIELDS) - {*fields_of("data", "untrained")}

# What Cluster Contrast and SpCL have in common: DBSCAN anew on Jaccard distances before
# each epoch, a softmax over clusters alone, batches by cluster.
_BY_DBSCAN: dict[str, Any] = {
    "patch_weight": 0.0,
    "attract_weight": 0.0,
    "temperature": 0.05,
    "memory_start": "features",
    "merge_from": "images",
    "merge_criterion": "dbscan",
    "size_penalty": 0.0,
    "distance": "jaccard",
    "k1": 30,
    "k2": 6,
    "max_distance": 0.6,
    "last_max_distance": None,
    "handcrafted": "none",
    "backgrounds": 0,
    "merge_start": 0,
    "merge_every": 1,
    "merge_stop": 10_000,
    "images_a_cluster": 4,
}
_BY_DBSCAN_PAPER: dict[str, Any] = {
    "neck": True,
    "optimizer": "adam",
    "epochs": 50,
    "learning_rate": 3.5e-4,
    "lr_drop_epoch": 20,
    "weight_decay": 5e-4,
    "image_height": 256,
    "image_width": 128,
    "num_patches": 4,
    "crop": False,
    "pad": 10,
    "erasing": 0.5,
}

METHODS: dict[str, Method] = {
    "fgu": Method(title="FGU"),
    # Lin et al., AAAI 2019: repelled loss and merging with a penalty on size. Its
    # dropout of 0.5 before the classifier is left out.
    "buc": Method(
        title="BUC",
        merging=True,
        fields={
            "patch_weight": 0.0,
            "attract_weight": 0.0,
            "memory_start": "zeros",
            "temperature": 0.1,
            "merge_criterion": "min",
            "size_penalty": 0.003,
            "merge_features": "global",
            "memory_at_merge": "features",
        },
        paper={
            "batch_size": 16,
            "epochs": 56,
            "learning_rate": 0.01,
            "lr_drop_epoch": 20,
            "weight_decay": 5e-4,
            "merge_start": 20,
            "merge_every": 2,
            "merge_stop": 54,
            "merge_fraction": 0.05,
        },
    ),
    # Yang et al., CVPR 2019: its patch loss alone; its image-level loss is left out.
    "paul": Method(
        title="PAUL",
        merging=True,
        fields={
            "global_weight": 0.0,
            "patch_weight": 2.0,
            "merge_fraction": 0.0,
        },
        paper={"epochs": 60, "learning_rate": 1e-4, "lr_drop_epoch": 50},
    ),
    # Fan et al., TOMM 2018: k-means anew, classification of reliable images.
    "pul": Method(
        title="PUL",
        merging=True,
        fields={
            "clustering": "kmeans",
            "patch_weight": 0.0,
            "attract_weight": 0.0,
            "memory_start": "features",
            "memory_at_merge": "features",
        },
        paper={
            "batch_size": 16,
            "epochs": 500,
            "learning_rate": 1e-3,
            "lr_drop_epoch": None,
            "merge_start": 20,
            "merge_every": 20,
            "merge_stop": 480,
            "eval_every": 20,
        },
        unused=frozenset(fields_of("merging")),
    ),
    # Dai et al., ACCV 2022: one memory row a cluster. Its sampler's look at cameras and
    # the second drop of its rate are left out.
    "cluster_contrast": Method(
        title="Cluster Contrast",
        fields={
            **_BY_DBSCAN,
            "memory_rate": 0.9,
            "memory_at_merge": "features",
            "merge_features": "global",
            "alone": "left_out",
        },
        paper={
            **_BY_DBSCAN_PAPER,
            "batch_size": 256,
            "images_a_cluster": 16,
            "pooling": "gem",
        },
        unused=frozenset({"merge_fraction"}),
    ),
    # Ge et al., NeurIPS 2020: a memory row an image, clusters that hold at distances
    # around theirs, each image outside of them alone. Its further drop of the rate,
    # after epoch 40, is left out.
    "spcl": Method(
        title="SpCL",
        fields={
            **_BY_DBSCAN,
            "memory_rows": "images",
            "memory_rate": 0.8,
            "merge_features": "memory",
            "distance_gap": 0.02,
            "alone": "kept",
        },
        paper={**_BY_DBSCAN_PAPER, "batch_size": 64},
        unused=frozenset({"merge_fraction", "memory_at_merge"}),
    ),
    "bow": Method(
        title="bag of words",
        fields={"image_height": 128, "image_width": 64, "report": False},
        unused=_OF_TRAINING,
    ),
    "lomo": Method(
        title="LOMO",
        fields={"image_height": 128, "image_width": 48, "report": False},
        unused=_OF_TRAINING,
    ),
    # The labelled start of Yang et al., CVPR 2019; its patch generator is trained. The
    # triplet loss is worth 28.7 / 29.7 points on real people (RESULTS.md).
    SUPERVISED: Method(
        title="with labels",
        fields={
            **_WITHOUT_CLUSTERS,
            "temperature": 0.05,
            "train_patch_generator": True,
        },
        paper={
            "batch_size": 96,
            "images_a_cluster": 2,
            "epochs": 60,
            "learning_rate": 0.01,
            "head_learning_rate": 0.1,
            "lr_drop_epoch": 40,
        },
        elsewhere={"images_a_cluster": 4, "triplet_margin": 0.3},
        unused=_OF_CLUSTERS,
    ),
}

HANDCRAFTED = ("bow", "lomo")


def settings(method: str, preset: str) -> dict[str, Any]:
    """The fields that a method sets under a preset.

    >>> settings("buc", "quick")["size_penalty"], "epochs" in settings("buc", "quick")
    (0.003, False)
    >>> settings("buc", "paper")["epochs"]
    56
    >>> settings("supervised", "tuned")["triplet_margin"]
    0.3
    """
    of = METHODS[method]
    return {**of.fields, **(of.paper if preset == "paper" else of.elsewhere)}


def refuse_unused(method: str, given: Mapping[str, Any]) -> None:
    """Refuses fields that a user gave though they mean nothing to the method.

    Args:
      method: one of ``METHODS``.
      given: fields and values, as a user gave them; what the method sets anyway passes.

    Raises:
      InputError: names the fields.

    >>> refuse_unused("lomo", {"epochs": 5, "report": False})
    Traceback (most recent call last):
    ...
    fgu_jax.errors.InputError: --method=lomo trains nothing: leave epochs out
    """
    of = METHODS[method]
    unused = of.unused if method == SUPERVISED else of.unused | _PRETRAINING
    wrong = [
        name
        for name, value in given.items()
        if name in unused and of.fields.get(name, FIELDS[name].default) != value
    ]
    if not wrong:
        return
    why = "does not merge clusters"
    if _PRETRAINING.issuperset(wrong):
        why = "learns without labels, pretrain.py with them"
    if method in HANDCRAFTED:
        why = "trains nothing"
    if method == SUPERVISED:
        why = "learns from labels and makes no clusters"
    raise InputError(f"--method={method} {why}: leave {', '.join(wrong)} out")
