"""What is validated before a run begins, and what is warned of."""

import jax
from jax.sharding import Mesh

from fgu_jax import networks
from fgu_jax.config import Config
from fgu_jax.config.methods import SUPERVISED
from fgu_jax.errors import InputError
from fgu_jax.losses import check_num_neighbors
from fgu_jax.merging import refuse_what_does_not_fit
from fgu_jax.parallel import processes
from fgu_jax.training import appearance
from fgu_jax.training.backgrounds import most_groups
from fgu_jax.training.regrouping import clusters_a_merge, kmeans_clusters


def validate_before_data(config: Config, mesh: Mesh) -> None:
    """Refuses, before any image is read, what can never run.

    Raises:
      InputError: a process without a device, a batch that does not divide by the
        devices, U not the map's height.
    """
    taking = {device.process_index for device in mesh.devices.flat}
    if len(taking) < jax.process_count():
        raise InputError(
            f"devices is {config.devices} with {jax.process_count()} processes, and "
            f"{jax.process_count() - len(taking)} would have none: leave --devices "
            "out, or start fewer processes"
        )
    if config.batch_size % mesh.devices.size:
        raise InputError(
            f"batch_size {config.batch_size} is not divisible by {mesh.devices.size} "
            "devices: change it, or --devices"
        )
    group, here = config.batch_norm_group, config.batch_size // mesh.devices.size
    if group is not None and here % group and group % here:
        raise InputError(
            f"batch_norm_group is {group}, and each of {mesh.devices.size} devices has "
            f"{here} images of a batch: give one that divides {here}, or a multiple"
        )
    appearance.validate(config)
    if config.method == SUPERVISED:
        _validate_triplets(config)
    networks.check_num_patches(
        config.backbone, config.image_height, config.image_width, config.num_patches
    )


def _validate_triplets(config: Config) -> None:
    margin, each = config.triplet_margin, config.images_a_cluster
    if margin is None:
        return
    if each is None:
        raise InputError(
            f"triplet_margin is {margin} with images_a_cluster None: a triplet needs "
            "two images of an identity, give images_a_cluster 2 or more, or "
            "triplet_margin none"
        )
    if config.batch_size < 2 * each:
        raise InputError(
            f"triplet_margin is {margin} with batch_size {config.batch_size} and "
            f"images_a_cluster {each}: a triplet needs two identities, give a "
            f"batch_size of {2 * each} or more"
        )


def validate_with_data(config: Config, num_images: int) -> None:
    """Refuses what the number of images rules out.

    Raises:
      InputError: a batch larger than the data, too few images for k, merges that
        would leave fewer than 2 clusters or that remove none, or that hold a matrix
        which does not fit, K above N.
    """
    if num_images < config.batch_size:
        raise InputError(
            f"batch_size {config.batch_size} is larger than the {num_images} training "
            f"images: {_batch_that_fits(config, num_images)}"
        )
    if config.method == SUPERVISED:
        return
    if config.patch_weight > 0 and config.patch_loss == "pedal":
        check_num_neighbors(config.num_neighbors, num_images)
    if config.clustering == "kmeans":
        kmeans_clusters(config, num_images)
        return
    if config.distance == "jaccard":
        return
    # The first may come before the first epoch, the last after the last one.
    merges = sum(map(config.regroups_after, range(config.epochs + 1)))
    each = clusters_a_merge(config, num_images)
    if merges and each == 0:
        raise InputError(
            f"merge_fraction {config.merge_fraction} of {num_images} images is less "
            f"than one cluster a merge: use {1 / num_images:.3g} or more, or 0"
        )
    if num_images - merges * each < 2:
        raise InputError(
            f"{merges} merges of {each} clusters leave fewer than 2 of {num_images}: "
            f"use a merge_fraction below {(num_images - 1) / num_images / merges:.3g}"
        )
    needs_matrix = config.merge_criterion != "min" or config.size_penalty > 0
    # A run that goes on may have merged already: its first merge says what fits.
    if merges * each and needs_matrix and not config.resume:
        processes.on_first(
            lambda: refuse_what_does_not_fit(num_images, config.merge_criterion)
        )


def _batch_that_fits(config: Config, num_images: int) -> str:
    each = config.images_a_cluster or 1
    if num_images < 2 * each:
        return f"give {2 * each} images or more"
    return f"use {num_images - num_images % each} or less"


def doubts(config: Config, num_images: int) -> list[str | None]:
    """Warnings, a line each, of what will not be as it was asked for."""
    if config.method == SUPERVISED:
        return [nothing_moves(config)]
    return [
        nothing_moves(config),
        memory_stays(config),
        never_merges(config),
        fewer_groups(config, num_images),
    ]


def nothing_moves(config: Config) -> str | None:
    """A warning, in one line, where the rates of all layers are 0.

    >>> nothing_moves(Config(learning_rate=0.0))
    'learning_rate is 0: no weight will change; give one above 0 to learn'
    >>> nothing_moves(Config(learning_rate=0.0, head_learning_rate=0.01))
    """
    if not config.epochs or config.learning_rate or config.head_learning_rate:
        return None
    return "learning_rate is 0: no weight will change; give one above 0 to learn"


def memory_stays(config: Config) -> str | None:
    """A warning, in one line, where no image of a batch reaches V.

    >>> memory_stays(Config(memory_rate=0.0))
    'memory_rate is 0: rows of V stay as they are from one regrouping to the next'
    """
    if not config.epochs or config.memory_rate or not config.learns_clusters:
        return None
    return (
        "memory_rate is 0: rows of V stay as they are from one regrouping to the next"
    )


def never_merges(config: Config) -> str | None:
    """A warning, in one line, where merging is asked for and no epoch does it.

    >>> never_merges(Config(epochs=5, merge_start=8))
    'no clusters will merge: epochs is 5, merge_start 8'
    >>> never_merges(Config(epochs=5, merge_start=8, merge_fraction=0.0))
    """
    by_number = config.distance == "euclid"
    wanted = config.learns_clusters and config.epochs
    wanted = wanted and (config.merge_fraction > 0 or not by_number)
    if not wanted or config.clustering == "kmeans":
        return None
    if any(map(config.merges_after, range(config.epochs + 1))):
        return None
    start = f"merge_start {config.merge_start}"
    if config.merge_stop < config.merge_start:
        return (
            f"no clusters will merge: {start} is after merge_stop {config.merge_stop}"
        )
    return f"no clusters will merge: epochs is {config.epochs}, {start}"


def fewer_groups(config: Config, num_images: int) -> str | None:
    """A warning, in one line, where images are too few for the groups asked for.

    >>> fewer_groups(Config(backgrounds=16), 64)
    'backgrounds is 16 of 64 images: 8 groups are made, of 8 images in the mean'
    """
    most = most_groups(num_images)
    if config.backgrounds <= most:
        return None
    return (
        f"backgrounds is {config.backgrounds} of {num_images} images: {most} groups "
        f"are made, of {num_images // most} images in the mean"
    )
