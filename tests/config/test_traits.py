"""What is true of a field, and the lists that are made from it."""

import dataclasses

import pytest

from fgu_jax import ablation
from fgu_jax.config import FIELDS, MAY_CHANGE_ON_RESUME, NOT_COMPILED, TRACED, fields_of
from fgu_jax.config.effects import figures_key, without_effect
from fgu_jax.config.fields import TRAITS, Config
from fgu_jax.config.traits import ROOMS, Traits, field


def test_what_is_not_said_is_on_the_safe_side():
    @dataclasses.dataclass
    class Made:
        new: float = field(1.0, "of something")

    of = dataclasses.fields(Made)[0].metadata["traits"]
    assert of == Traits(help="of something")
    assert of.compiled
    assert not of.resumable


def test_a_word_or_a_trait_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="of is 'dat': its words are data, network"):
        field(0, "x", of="dat")
    with pytest.raises(TypeError, match="resumeable"):
        field(0, "x", resumeable=True)


def test_lists_of_fields_agree():
    assert all(fields_of(room) for room in ROOMS)
    figures = {*fields_of("network"), *TRACED}
    assert not figures & (MAY_CHANGE_ON_RESUME | NOT_COMPILED)
    assert ablation.SET_BY_TABLE <= {*fields_of("folder")} <= MAY_CHANGE_ON_RESUME
    for of in TRAITS.values():
        assert of.unless.keys() <= {*FIELDS, "learns_clusters"}


def test_features_are_known_by_the_same_fields_in_the_same_order():
    # `Embedder.identity` is made of them: kept features are found again by it.
    assert fields_of("network") == (
        *("backbone", "image_height", "image_width", "num_patches", "patch_dim"),
        *("patch_generator", "pooling", "neck", "precision"),
    )


@pytest.mark.parametrize(
    ("changes", "without"),
    [
        ({}, {"kmeans_clusters", "reliability", "train_patch_generator"}),
        ({"patch_weight": 0.0}, {"scale", "num_neighbors", "patch_rate"}),
        ({"attract_weight": 0.0}, {"attract_start", "centres"}),
        ({"clustering": "kmeans"}, {"merge_fraction", "memory_start", "size_penalty"}),
        ({"epochs": 5}, {"merge_stop", "merge_criterion", "attract_weight", "centres"}),
        ({"global_weight": 0.0}, {"temperature", "merge_features", "attract_weight"}),
        ({"lr_drop_epoch": None}, {"lr_drop_factor"}),
        ({"dataset": "market1501"}, {"difficulty"}),
    ],
)
def test_fields_without_effect_given_another(changes, without):
    config = Config(**changes)
    found = without_effect(config)
    assert without <= found
    assert changes == {} or not without <= without_effect(Config())
    assert not found & changes.keys()
    other = dataclasses.replace(config, momentum=0.5)
    assert figures_key(config) != figures_key(other)


def test_k_means_looks_at_no_neighbourhoods():
    jaccard = Config(distance="jaccard", merge_from="images")
    means = dataclasses.replace(jaccard, clustering="kmeans")
    of_neighbourhoods = {"k1", "max_distance", "alone", "unsure_left_out"}
    assert not of_neighbourhoods & without_effect(jaccard)
    assert of_neighbourhoods <= without_effect(means)


def test_patches_that_learn_clusters_need_no_global_branch():
    config = Config(global_weight=0.0, patch_loss="clusters")
    found = without_effect(config)
    of_clusters = {"temperature", "memory_at_merge", "smooth_patches", "merge_stop"}
    assert not found & of_clusters
    assert {"refine", "attract_weight", "memory_rows"} <= found
    assert of_clusters - {"smooth_patches"} <= without_effect(Config(global_weight=0.0))
