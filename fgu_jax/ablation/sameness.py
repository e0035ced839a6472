"""Which fields make no difference under a configuration, and so which runs are one."""

from typing import Any

from fgu_jax.ablation.tables import SET_BY_TABLE
from fgu_jax.config import FIELDS, Config
from fgu_jax.config.methods import idle_beside

_OF_PEDAL = ("num_neighbors", "scale", "patch_rate")
_OF_ATTRACTED = ("attract_start", "centres")
_OF_GLOBAL = ("temperature", "attract_weight", "memory_start", "memory_at_merge")
_OF_MERGING = ("merge_criterion", "merge_fraction", "size_penalty", "memory_at_merge")
_OF_TIMES = ("merge_start", "merge_every", "merge_stop", "merge_features")
_OF_THE_FOLDER = SET_BY_TABLE | {"save_every", "keep", "preset"}


def idle_fields(config: Config) -> frozenset[str]:
    """Fields whose value moves no figure of a run's evaluation.

    >>> idle = idle_fields(Config(patch_weight=0.0))
    >>> "num_neighbors" in idle, "kmeans_clusters" in idle, "temperature" in idle
    (True, True, False)
    """
    idle = {name for names in idle_beside(config).values() for name in names}
    regroups = any(map(config.regroups_after, range(1, config.epochs + 1)))
    if config.patch_weight == 0:
        idle.update(_OF_PEDAL)
    if config.attract_weight == 0:
        idle.update(_OF_ATTRACTED)
    if config.global_weight == 0:
        idle.update(_OF_GLOBAL, _OF_ATTRACTED)
    if not regroups:
        idle.update(_OF_TIMES)
    if config.clustering == "kmeans":
        return frozenset(idle)
    if not regroups:
        idle.update(_OF_MERGING)
        if config.attract_start == "merge":  # which never comes
            idle.update(("attract_weight", "centres"))
    if config.global_weight == 0:  # clusters change, and nothing is learnt from them
        idle.update(_OF_MERGING, _OF_TIMES)
    return frozenset(idle)


def figures_key(config: Config) -> tuple[Any, ...]:
    """Equal for configurations whose runs have the same figures of evaluation.

    >>> import dataclasses
    >>> off = Config(patch_weight=0.0)
    >>> figures_key(off) == figures_key(dataclasses.replace(off, num_neighbors=3))
    True
    """
    aside = idle_fields(config).union(_OF_THE_FOLDER)
    return tuple(
        field.default if name in aside else getattr(config, name)
        for name, field in FIELDS.items()
    )
