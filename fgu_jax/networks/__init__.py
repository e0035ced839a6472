"""Networks: images to one global and U patch features, all of unit length."""

from fgu_jax.networks.backbones import (
    BACKBONES,
    FOUNDATIONS,
    check_num_patches,
    feature_map_size,
    global_dim,
    images_at_once,
)
from fgu_jax.networks.embedding import GlobalNetwork, for_cpu
from fgu_jax.networks.network import (
    PATCH_GENERATORS,
    Features,
    Network,
    build,
    frozen_parameters,
)

__all__ = [
    "BACKBONES",
    "FOUNDATIONS",
    "PATCH_GENERATORS",
    "Features",
    "GlobalNetwork",
    "Network",
    "build",
    "check_num_patches",
    "feature_map_size",
    "for_cpu",
    "frozen_parameters",
    "global_dim",
    "images_at_once",
]
