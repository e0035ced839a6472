"""What a configuration's values must be: each by its traits, and beside each other."""

import itertools
import math
import typing

from fgu_jax.config.fields import TRAITS, TYPES, Config
from fgu_jax.errors import InputError


def validate(config: Config) -> None:
    """Refuses values that a field cannot have, alone or beside another's.

    Raises:
      InputError: the first of them, with what can be given.
    """
    for name, of in TRAITS.items():
        value = getattr(config, name)
        wanted = ""
        if isinstance(value, float) and not math.isfinite(value):
            wanted = "a finite number"
        elif of.least is not None and value is not None and value < of.least:
            wanted = f"{of.least} or more"
        elif of.above is not None and value is not None and value <= of.above:
            wanted = f"more than {of.above}"
        elif of.fraction and not 0 <= value <= 1:
            wanted = "0 to 1"
        if wanted:
            raise InputError(f"{name} is {value}: give {wanted}")
    if config.clustering == "merge":
        _check_criterion(config)
    if config.size_penalty and config.merge_criterion != "min":
        raise InputError(
            f"size_penalty is {config.size_penalty} with merge_criterion "
            f"{config.merge_criterion!r}: it goes with 'min' alone, leave it at 0"
        )
    if config.global_weight == config.patch_weight == 0:
        raise InputError(
            "global_weight and patch_weight are both 0: nothing would be learnt"
        )
    if config.unsure_left_out == 1:
        raise InputError(
            "unsure_left_out is 1.0: no image of a cluster would be learnt from; give "
            "less, such as 0.2"
        )
    if config.clustering == "kmeans" and config.memory_at_merge == "memory":
        raise InputError(
            "memory_at_merge is 'memory' with clustering 'kmeans', whose clusters are "
            "not made of those before: give memory_at_merge 'features'"
        )
    if config.seed >= 2**32:
        raise InputError(f"seed is {config.seed}: give less than {2**32}")
    if config.images_a_cluster and config.batch_size % config.images_a_cluster:
        raise InputError(
            f"images_a_cluster is {config.images_a_cluster} and batch_size "
            f"{config.batch_size}: give one that divides it"
        )
    _check_links(config)
    _check_memory_of_images(config)
    if config.refines and config.shard_tables:
        raise InputError(
            "refine and smooth_patches need whole tables on each device: give "
            "shard_tables false"
        )
    group = config.batch_norm_group
    if group is not None and config.batch_size % group:
        raise InputError(
            f"batch_norm_group is {group} and batch_size {config.batch_size}: give one "
            "that divides it"
        )
    ends = ["warmup_epochs", "restart_epoch", "cosine_epoch"]
    ends = [k for k in ends if getattr(config, k) is not None]
    for name, after in itertools.pairwise(ends if config.cosine_epoch else ()):
        if getattr(config, after) <= getattr(config, name):
            raise InputError(
                f"{after} is {getattr(config, after)} with {name} "
                f"{getattr(config, name)}: give more"
            )
    if config.pad and config.crop:
        raise InputError(
            f"pad is {config.pad} with crop: it goes in place of it, give crop false"
        )
    widest = config.last_max_distance
    if widest is not None and not config.max_distance <= widest <= 1:
        raise InputError(
            f"last_max_distance is {widest}: give {config.max_distance} (max_distance) "
            "to 1"
        )


def _check_memory_of_images(config: Config) -> None:
    of_images = config.memory_rows == "images"
    if of_images and config.shard_tables:
        raise InputError(
            "memory_rows 'images' needs whole tables on each device: give shard_tables "
            "false"
        )
    if of_images and config.memory_start == "zeros":
        raise InputError(
            "memory_start is 'zeros' with memory_rows 'images', whose images may "
            "come late: give memory_start 'features'"
        )
    if config.merge_features == "memory" and not of_images:
        raise InputError(
            f"merge_features is 'memory' with memory_rows {config.memory_rows!r}: give "
            "memory_rows 'images'"
        )


def _check_links(config: Config) -> None:
    """Links and tracks are honoured by average linkage from single images."""
    given = [name for name in ("links", "use_tracks") if getattr(config, name)]
    gap = config.distance_gap
    if given and gap:
        raise InputError(f"{given[0]} with distance_gap {gap}: give distance_gap 0")
    wanted = {
        "clustering": "merge",
        "distance": "jaccard",
        "merge_criterion": "average",
        "merge_from": "images",
    }
    wrong = {k: v for k, v in wanted.items() if getattr(config, k) != v}
    if given and wrong:
        name, value = next(iter(wrong.items()))
        raise InputError(
            f"{given[0]} with {name} {getattr(config, name)!r}: give {name} {value!r} "
            "(--preset=tuned has it)"
        )


def _check_criterion(config: Config) -> None:
    criterion, distance = config.merge_criterion, config.distance
    other = ("centroid", "median") if distance == "jaccard" else ("dbscan",)
    if criterion in other:
        known = [k for k in typing.get_args(TYPES["merge_criterion"]) if k not in other]
        raise InputError(
            f"merge_criterion is {criterion!r} with distance {distance!r}: give "
            f"{' or '.join(known)}"
        )
    begins_at_images = distance == "jaccard" and criterion in ("min", "dbscan")
    if begins_at_images and config.merge_from == "clusters":
        raise InputError(
            f"merge_from is 'clusters' with merge_criterion {criterion!r} of distance "
            "'jaccard', which begins at single images: give merge_from 'images', or "
            "merge_criterion 'average'"
        )
