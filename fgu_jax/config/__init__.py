"""The configuration of a run: its fields, values from outside, presets and methods."""

from fgu_jax.config.fields import (
    FIELDS,
    MAY_CHANGE_ON_RESUME,
    TYPES,
    Config,
    differing,
)

__all__ = ["FIELDS", "MAY_CHANGE_ON_RESUME", "TYPES", "Config", "differing"]
