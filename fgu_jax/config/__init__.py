"""The configuration of a run: fields, their traits, values, presets and methods."""

from fgu_jax.config.fields import (
    FIELDS,
    MAY_CHANGE_ON_RESUME,
    NOT_COMPILED,
    TRACED,
    TRAITS,
    TYPES,
    Config,
    differing,
    fields_of,
)

__all__ = [
    "FIELDS",
    "MAY_CHANGE_ON_RESUME",
    "NOT_COMPILED",
    "TRACED",
    "TRAITS",
    "TYPES",
    "Config",
    "differing",
    "fields_of",
]
