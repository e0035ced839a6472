"""Named settings. Each says what it is for and whether its figure was measured."""

from collections.abc import Mapping
from typing import Any

from fgu_jax.config import FIELDS, Config, methods
from fgu_jax.config.effects import refuse_without_effect
from fgu_jax.config.fields import fields_of
from fgu_jax.config.values import parse_value
from fgu_jax.data.published import command_name
from fgu_jax.errors import InputError
from fgu_jax.messages import unknown

# The paper as it is printed; Config's own defaults are it.
# Market-1501 73.5 / 43.2 rank-1 / mAP by the paper; not measured here.
_PAPER: dict[str, Any] = {}

# Both presets learn from clusters made anew before each epoch, by average linkage on
# the Jaccard distances of neighbourhoods; from colours and textures alone at first.
# Patches have clusters in W as the global feature has them in V.
_ANEW: dict[str, Any] = {
    "distance": "jaccard",
    "merge_from": "images",
    "merge_criterion": "average",
    "merge_start": 0,
    "merge_every": 1,
    "merge_stop": 10_000,
    "patch_loss": "clusters",
    "images_a_cluster": 4,
}

# Generated images on two CPU cores, from random weights, in minutes.
_QUICK: dict[str, Any] = {
    "backbone": "resnet_tiny",
    "init": "random",
    "image_height": 64,
    "image_width": 32,
    "num_patches": 4,
    "patch_dim": 64,
    "epochs": 30,
    "learning_rate": 0.03,
    "lr_drop_epoch": 25,
    "weight_decay": 5e-4,
    "color_jitter": 0.5,
    "eval_every": 5,
    "save_every": 5,
}

# Neighbours and distance are those of ``cluster.py``: by the data, up to 0.73.
_QUICK_ANEW: dict[str, Any] = {**_QUICK, **_ANEW, "handcrafted": "bow"}

# What ``quick`` was until November 2026.
_QUICK_MERGING: dict[str, Any] = {
    **_QUICK,
    "merge_start": 8,
    "merge_every": 2,
    "merge_stop": 26,
}

# What gained most on real people from ImageNet weights: RESULTS.md, "What makes it
# learn". Measured on EfficientNet-Lite0 at 128 x 64 alone.
_TUNED: dict[str, Any] = {
    **_ANEW,
    "neck": True,
    "keep_statistics": True,
    # When it ends the distance has opened and the rate has all but fallen to 0. In the
    # last quarter the network is better than what is made by hand: clusters are of its
    # features alone, and the rate begins again.
    "epochs": 16,
    "merge_stop": 16,
    "restart_epoch": 12,
    "cosine_epoch": 17,
    "batch_size": 64,
    "optimizer": "adam",
    "learning_rate": 3.5e-4,
    "lr_drop_epoch": None,
    "weight_decay": 5e-4,
    "temperature": 0.05,
    "attract_weight": 0.0,
    "memory_rate": 0.9,
    "handcrafted": "both",
    "handcrafted_stop": 11,
    "merge_features": "fused",
    "backgrounds": 16,
    "k1": 20,
    "k2": 6,
    "max_distance": 0.8,
    "last_max_distance": 0.85,
    "alone": "left_out",
    "crop": False,
    "erasing": 0.5,
    "eval_every": 4,
}

# A CPU, and images of any proportions: a network and a size that two cores can train.
_FOR_TWO_CORES: dict[str, Any] = {
    "backbone": "efficientnet_lite0",
    "image_shape": "data",
    "image_height": 128,
    "image_width": 64,
    "num_patches": 4,
    "patch_dim": 128,
}

# ``tuned`` as it was measured.
_LAPTOP: dict[str, Any] = {**_TUNED, **_FOR_TWO_CORES}

# A run of ``tuned`` or ``laptop`` goes on, by --init, at twice the height and width.
# The network is better than what is made by hand by then; the distance has opened.
_LARGER: dict[str, Any] = {
    **_LAPTOP,
    "image_shape": "start",
    "image_height": 256,
    "image_width": 128,
    "epochs": 4,
    "merge_stop": 4,
    "restart_epoch": None,
    "cosine_epoch": 5,
    "learning_rate": 1.75e-4,
    "handcrafted": "none",
    "handcrafted_stop": None,
    "max_distance": 0.85,
    "last_max_distance": None,
}

# What ``tuned`` was until November 2026: merges of the paper. 16 of them leave 0.12 N
# clusters.
_TUNED_MERGING: dict[str, Any] = {
    "neck": True,
    "keep_statistics": True,
    "epochs": 26,
    "learning_rate": 3e-3,
    "lr_drop_epoch": 20,
    "centres": "memory",
    "memory_start": "zeros",
    "memory_at_merge": "memory",
    "merge_start": 8,
    "merge_every": 1,
    "merge_stop": 23,
    "merge_fraction": 0.055,
    "size_penalty": 0.01,
    "eval_every": 5,
}

PRESETS: dict[str, dict[str, Any]] = {
    "paper": _PAPER,
    "quick": _QUICK_ANEW,
    "tuned": _TUNED,
    "laptop": _LAPTOP,
    "larger": _LARGER,
    "quick-2026-11": _QUICK_MERGING,
    "tuned-2026-11": _TUNED_MERGING,
}
# What methods that merge on stand on, where a preset makes clusters anew.
_MERGING: dict[str, dict[str, Any]] = {
    "quick": _QUICK_MERGING,
    "tuned": _TUNED_MERGING,
    "laptop": {**_TUNED_MERGING, **_FOR_TWO_CORES},
}
ON_CPU = "laptop"
"""The preset of a folder of one's own where there is no accelerator."""

# What the paper sets by dataset, whatever the preset (section 3.3).
_BY_DATASET: dict[str, dict[str, Any]] = {
    "duke": {"scale": 5.0},
    "msmt17": {"scale": 5.0},
}


_SIZE = frozenset(["image_height", "image_width"])


def resolve(overrides: Mapping[str, Any], *, source: str = "command line") -> Config:
    """A configuration: the preset's values, the dataset's, the method's, the overrides.

    Args:
      overrides: field names to values (text is read as on the command line).
      source: named in errors.

    Returns:
      The full ``Config``, with ``preset`` filled in.

    Raises:
      InputError: an unknown field or preset (with the near miss), a bad value, a field
        that means nothing to the method, or beside another field.

    >>> resolve({"dataset": "duke"}).scale
    5.0
    >>> resolve({"preset": "papre"})
    Traceback (most recent call last):
    ...
    fgu_jax.errors.InputError: unknown preset 'papre': did you mean 'paper'?
    """
    for name in overrides:
        if name not in FIELDS:
            what = unknown("field", name, FIELDS)
            raise InputError(f"{source}: {what}")
    given = {k: parse_value(k, v) for k, v in overrides.items()}
    given["dataset"] = dataset = command_name(given.get("dataset", Config.dataset))
    if given.get("preset") is None:
        given["preset"] = "quick" if dataset == "synthetic" else "paper"
    preset = given["preset"]
    if preset not in PRESETS:
        raise InputError(unknown("preset", preset, PRESETS))
    method = given.get("method", Config.method)
    methods.refuse_unused(method, given)
    base = _base(preset, method)
    of_start = base.get("image_shape") == "start"
    if of_start:
        _refuse_network(preset, given)
    if _SIZE & given.keys():
        base = {**base, "image_shape": "start_network" if of_start else "given"}
    config = Config(
        **{
            **base,
            **_BY_DATASET.get(dataset, {}),
            **methods.settings(method, preset),
            **given,
        }
    )
    refuse_without_effect(config, given)
    return config


def _refuse_network(preset: str, given: Mapping[str, Any]) -> None:
    """Refuses fields of the network beside a preset that takes it from a run."""
    wrong = [name for name in fields_of("network") if name in given.keys() - _SIZE]
    if wrong:
        what = ", ".join(f"{name} is {given[name]!r}" for name in wrong)
        raise InputError(
            f"{what}, and the network of preset {preset!r} is that of the run in init: "
            f"leave {'it' if len(wrong) == 1 else 'them'} out"
        )


def _base(preset: str, method: str) -> dict[str, Any]:
    """A preset's fields, as the method stands on them."""
    fields = PRESETS[preset]
    anew = fields.get("merge_from") == "images"
    if not (methods.METHODS[method].merging and anew):
        return fields
    if preset not in _MERGING:
        raise InputError(
            f"preset is {preset!r}, whose clusters are made anew, and "
            f"--method={method} merges on: give {', '.join(_MERGING)} or paper"
        )
    return _MERGING[preset]
