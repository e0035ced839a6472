"""Named settings. Each says what it is for and whether its figure was measured."""

from collections.abc import Mapping
from typing import Any

from fgu_jax.config import FIELDS, Config, methods
from fgu_jax.config.effects import refuse_without_effect
from fgu_jax.config.values import parse_value
from fgu_jax.data.published import command_name
from fgu_jax.errors import InputError
from fgu_jax.messages import unknown

# The paper as it is printed; Config's own defaults are it.
# Market-1501 73.5 / 43.2 rank-1 / mAP by the paper; not measured here.
_PAPER: dict[str, Any] = {}

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
    "merge_start": 8,
    "merge_every": 2,
    "merge_stop": 26,
    "color_jitter": 0.5,
    "eval_every": 5,
    "save_every": 5,
}

# What gained most on real people from ImageNet weights: RESULTS.md, "What makes it
# learn". Measured on EfficientNet-Lite0 at 128 x 64 alone. 16 merges leave 0.12 N
# clusters.
_TUNED: dict[str, Any] = {
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
    "quick": _QUICK,
    "tuned": _TUNED,
}

# What the paper sets by dataset, whatever the preset (section 3.3).
_BY_DATASET: dict[str, dict[str, Any]] = {
    "duke": {"scale": 5.0},
    "msmt17": {"scale": 5.0},
}


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
    config = Config(
        **{
            **PRESETS[preset],
            **_BY_DATASET.get(dataset, {}),
            **methods.settings(method, preset),
            **given,
        }
    )
    refuse_without_effect(config, given)
    return config
