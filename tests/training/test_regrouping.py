"""Clusters made anew: from what, how far, with which cameras, and what stays."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from fgu_jax import clustering
from fgu_jax.clustering.cameras import centred
from fgu_jax.config import Config, presets
from fgu_jax.config.validate import validate
from fgu_jax.errors import InputError
from fgu_jax.handcrafted import lomo
from fgu_jax.merging import merge_clusters
from fgu_jax.parallel.mesh import make_mesh
from fgu_jax.training import (
    appearance,
    health,
    left_out,
    regrouping,
    state,
)

N = 60
JACCARD = Config(
    distance="jaccard",
    merge_from="images",
    merge_criterion="average",
    k1=6,
    k2=2,
    max_distance=0.6,
)


def _features(seed=0, spread=0.5):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(12, 8))[np.arange(N) % 12] + spread * rng.normal(size=(N, 8))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype("f4")


def _new(config, features, labels=None, **rest):
    labels = np.arange(N, dtype=np.int32) if labels is None else labels
    both = (features, features[None])
    given = {"epoch": 1} | rest
    return regrouping.new_clusters(config, both, labels, make_mesh(1), **given).labels


def _graph(features):
    return clustering.neighbour_graph(features, k1=6, k2=2)


def test_clusters_anew_are_those_of_the_graph():
    x = _features()
    wanted = clustering.average_linkage(_graph(x), max_distance=0.6)
    assert 2 < wanted.max() < N - 1
    np.testing.assert_array_equal(_new(JACCARD, x), wanted)
    # Whatever the clusters were before.
    np.testing.assert_array_equal(_new(JACCARD, x, np.arange(N) // 2), wanted)
    of = {"max": clustering.complete_linkage, "min": clustering.single_linkage}
    for criterion, link in of.items():
        config = dataclasses.replace(JACCARD, merge_criterion=criterion)
        np.testing.assert_array_equal(
            _new(config, x), link(_graph(x), max_distance=0.6)
        )


def test_clusters_merge_on_where_they_are_not_made_anew():
    x, before = _features(), (np.arange(N) // 2).astype(np.int32)
    found = _new(dataclasses.replace(JACCARD, merge_from="clusters"), x, before)
    assert (found[::2] == found[1::2]).all()
    pairs = np.arange(N).reshape(-1, 2)
    wanted = clustering.average_linkage(_graph(x), max_distance=0.6, must_link=pairs)
    np.testing.assert_array_equal(found, wanted)
    # An image that was left out is one of its own at first.
    before[:2] = -1
    found = _new(dataclasses.replace(JACCARD, merge_from="clusters"), x, before)
    wanted = clustering.average_linkage(
        _graph(x), max_distance=0.6, must_link=pairs[1:]
    )
    np.testing.assert_array_equal(found, wanted)


def test_a_number_of_clusters_anew():
    """Euclid, from images: as many as merging on would leave, made of single ones."""
    x, before = _features(), (np.arange(N) // 2).astype(np.int32)
    config = Config(merge_from="images", merge_criterion="average", merge_fraction=0.1)
    found = _new(config, x, before)
    wanted = merge_clusters(x, np.arange(N), N - 24, criterion="average")
    np.testing.assert_array_equal(found, wanted)
    assert found.max() + 1 == 30 - 6


def test_the_distance_opens_evenly():
    config = dataclasses.replace(
        JACCARD, merge_start=2, merge_stop=6, last_max_distance=0.8
    )
    far = [config.merges_up_to(epoch) for epoch in (0, 2, 3, 4, 6, 9)]
    np.testing.assert_allclose(far, [0.6, 0.6, 0.65, 0.7, 0.8, 0.8])
    x = _features()
    wanted = clustering.average_linkage(_graph(x), max_distance=0.7)
    np.testing.assert_array_equal(_new(config, x, epoch=4), wanted)
    assert JACCARD.merges_up_to(40) == 0.6


def test_images_alone_are_left_out_or_kept():
    x = _features()
    x[:3] = np.eye(8, dtype="f4")[:3] * [[1], [-1], [1]]
    config = dataclasses.replace(JACCARD, max_distance=0.4)
    kept = _new(config, x)
    alone = np.bincount(kept)[kept] == 1
    assert 0 < alone.sum() < N
    left = _new(dataclasses.replace(config, alone="left_out"), x)
    assert (left[alone] == -1).all()
    pairs = left[~alone][:, None] == left[~alone][None, :]
    np.testing.assert_array_equal(pairs, kept[~alone][:, None] == kept[~alone][None, :])
    assert set(left[~alone].tolist()) == set(range(left.max() + 1))


@pytest.mark.parametrize("alone", ["kept", "left_out"])
def test_images_least_sure_of_their_cluster_are_left_out(alone):
    x = _features()
    x[:3] = np.eye(8, dtype="f4")[:3] * [[1], [-1], [1]]
    config = dataclasses.replace(JACCARD, max_distance=0.4, alone=alone)
    every = _new(dataclasses.replace(config, alone="kept"), x)
    confidence = clustering.standing(_graph(x), every).confidence
    many = np.bincount(every)[every] > 1
    left = _new(dataclasses.replace(config, unsure_left_out=0.3), x)
    # Of those in no cluster nobody asks how sure they are.
    wanted = np.zeros(N, bool)
    rows = np.flatnonzero(many)
    wanted[
        rows[np.argsort(confidence[rows], kind="stable")[: int(0.3 * many.sum())]]
    ] = 1
    if alone == "left_out":
        there = ~wanted & many
        wanted = ~there | (np.bincount(every[there], minlength=N)[every] == 1)
    np.testing.assert_array_equal(left == -1, wanted)
    pairs = left[~wanted][:, None] == left[~wanted][None, :]
    np.testing.assert_array_equal(
        pairs, every[~wanted][:, None] == every[~wanted][None, :]
    )
    assert set(left[~wanted].tolist()) == set(range(left.max() + 1))


def test_the_unsure_are_never_all_images():
    given = {"preset": "quick", "unsure_left_out": 1}
    with pytest.raises(InputError, match=r"unsure_left_out is 1\.0: .* such as 0\.2"):
        validate(presets.resolve(given))


def test_a_decimal_share_is_counted_as_it_is_written():
    labels = np.zeros(100, np.int32)
    left = left_out.without_the_unsure(labels, np.arange(100.0), 0.29)
    assert (left == -1).sum() == 29


def test_dbscan_keeps_or_leaves_out_its_noise():
    config = dataclasses.replace(JACCARD, merge_criterion="dbscan", max_distance=0.5)
    kept = _new(config, _features())
    left = _new(dataclasses.replace(config, alone="left_out"), _features())
    noise = left == -1
    assert noise.any()
    assert not noise.all()
    assert (np.bincount(kept)[kept[noise]] == 1).all()
    np.testing.assert_array_equal(kept[~noise], left[~noise])


def test_features_are_centred_by_camera():
    rng = np.random.default_rng(1)
    cameras = rng.integers(0, 2, N)
    x = _features() + 3 * np.eye(2, 8, dtype="f4")[cameras]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    wanted = clustering.average_linkage(_graph(centred(x, cameras)), max_distance=0.6)
    np.testing.assert_array_equal(_new(JACCARD, x, views=(cameras,)), wanted)
    assert (wanted != _new(JACCARD, x)).any()


def test_features_are_centred_by_each_view_in_turn():
    rng = np.random.default_rng(1)
    x, cameras, behind = _features(), rng.integers(0, 2, N), rng.integers(0, 3, N)
    twice = centred(centred(x, cameras), behind)
    np.testing.assert_array_equal(centred(x, cameras, behind), twice)
    wanted = clustering.average_linkage(_graph(twice), max_distance=0.6)
    found = _new(JACCARD, x, views=(cameras, behind))
    np.testing.assert_array_equal(found, wanted)


def test_what_is_made_by_hand_is_alone_at_first_and_then_beside():
    x, made = _features(0), _features(1)
    config = dataclasses.replace(JACCARD, handcrafted="bow", handcrafted_share=0.25)
    first = _new(config, x, made=made, epoch=0)
    np.testing.assert_array_equal(first, _new(JACCARD, made))
    both = np.concatenate([np.sqrt(0.75) * x, np.sqrt(0.25) * made], axis=1)
    wanted = clustering.average_linkage(_graph(both), max_distance=0.6)
    np.testing.assert_array_equal(_new(config, x, made=made), wanted)


def test_appearance_is_of_unit_rows_of_both_kinds():
    images = np.random.default_rng(0).integers(0, 256, (5, 64, 48, 3), np.uint8)
    parts = {
        kind: appearance.describe(Config(handcrafted=kind), images)
        for kind in ("none", "bow", "lomo", "both")
    }
    assert parts["none"] is None
    for kind in ("bow", "lomo", "both"):
        np.testing.assert_allclose(np.linalg.norm(parts[kind], axis=1), 1, rtol=1e-5)
    means = (parts["bow"] @ parts["bow"].T + parts["lomo"] @ parts["lomo"].T) / 2
    np.testing.assert_allclose(parts["both"] @ parts["both"].T, means, atol=1e-5)
    # Five images span five directions: nothing of their likeness is lost.
    made = lomo(images)
    np.testing.assert_allclose(
        parts["lomo"] @ parts["lomo"].T, made @ made.T, atol=1e-4
    )


def test_the_directions_are_those_of_the_singular_values(monkeypatch):
    monkeypatch.setattr(appearance, "_WIDTH", 3)
    rows = np.random.default_rng(0).normal(size=(20, 9)).astype("f4")
    basis = appearance._directions(rows)
    np.testing.assert_allclose(basis.T @ basis, np.eye(3), atol=1e-4)
    right = np.linalg.svd(rows.astype(float), full_matrices=False)[2][:3]
    np.testing.assert_allclose(basis @ basis.T, right.T @ right, atol=1e-4)


def test_appearance_of_images_that_are_all_alike():
    images = np.full((3, 64, 48, 3), 90, np.uint8)
    made = appearance.describe(Config(handcrafted="bow"), images)
    np.testing.assert_allclose(made @ made.T, np.ones((3, 3)), rtol=1e-5)
    assert appearance._directions(np.zeros((3, 5), np.float32)).tolist() == [[0]] * 5


def _state(labels, features):
    blank = dict.fromkeys(state.TrainState.__dataclass_fields__)
    return state.TrainState(**blank | {
        "cluster_memory": features, "centres": features, "labels": labels,
        "num_clusters": np.int32(labels.max() + 1), "patch_memory": features[None],
    })  # fmt: skip


def test_the_patch_memory_gets_a_row_a_cluster():
    x = _features()
    labels = (np.arange(N) % 7 - 1).astype(np.int32)  # a seventh is in no cluster
    made = state.with_patch_clusters(_state(labels, x), x[None])
    for row in range(6):
        mean = x[labels == row].mean(0)
        unit = mean / np.linalg.norm(mean)
        np.testing.assert_allclose(made.patch_memory[0, row], unit, atol=1e-6)
    np.testing.assert_array_equal(made.patch_memory[0, 6:], x[6:])


def test_an_image_of_no_cluster_brings_its_feature_to_the_memory():
    table = np.eye(4, dtype="f4")
    before = _state(np.array([0, 1, -1, 2], np.int32), table)
    x = np.array([[0, 0, 0, 1]] * 4, "f4")
    merged = state.with_merged_memory(before, np.array([0, 0, 1, 1], np.int32), x)
    half = np.sqrt(0.5)
    expected = [[half, half, 0, 0], [0, 0, half, half]]
    np.testing.assert_allclose(merged.cluster_memory[:2], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("found", "refused"),
    [
        ([-1] * N, "alone"),  # and left out
        ([*range(N)], "alone"),  # and kept
        ([0, -1, *range(1, N - 1)], "alone"),
        ([0] * N, "together"),
        ([0] * 5 + [-1] * (N - 5), "together"),
        ([0, 0, *range(1, N - 1)], None),
    ],
)
def test_clusters_to_learn_nothing_from_are_not_taken(found, refused, monkeypatch):
    labels = np.array(found, np.int32)
    monkeypatch.setattr(regrouping, "new_clusters", lambda *_, **__: (labels, 0))
    x = _features()
    before = _state(np.arange(N, dtype=np.int32) // 2, x)
    after = regrouping.regroup(JACCARD, before, (x, x[None]), make_mesh(1), epoch=1)
    assert after.refused == refused
    assert (after.state is before) == (refused is not None)


def test_a_cluster_of_k_means_may_hold_one_image_that_is_reliable():
    one_each = np.array([0, 1, -1, 2])
    assert left_out.nothing_to_learn_from(one_each) == "alone"
    assert left_out.nothing_to_learn_from(one_each, of_one=True) is None
    assert left_out.nothing_to_learn_from(np.full(4, -1), of_one=True) == "alone"
    assert left_out.nothing_to_learn_from(np.zeros(4, int), of_one=True) == "together"


@pytest.mark.parametrize(
    ("changes", "smaller", "larger"),
    [
        ({}, "a smaller max_distance", "a larger max_distance"),
        (
            {"last_max_distance": 0.8, "merge_start": 0},
            "a smaller max_distance or last_max_distance",
            "a larger max_distance or last_max_distance",
        ),
        (
            {"clustering": "kmeans", "merge_from": "clusters"},
            "more kmeans_clusters",
            "fewer kmeans_clusters",
        ),
        (
            {"distance": "euclid", "merge_criterion": "average"},
            "a smaller merge_fraction or an earlier merge_stop",
            "a larger merge_fraction",
        ),
    ],
)
def test_a_regrouping_that_was_not_taken_is_told_of(changes, smaller, larger):
    config = dataclasses.replace(JACCARD, **changes)
    record = {"epoch": 3, "clusters": 9, "spread": 1.0, "patch_spread": 1.0}
    record["largest_cluster"] = 0.1
    stay = "the 9 clusters before stay; try"
    for refused, said in {
        "together": [f"all images were in one cluster: {stay} {smaller}"],
        "alone": [f"no image was in a cluster with another: {stay} {larger}"],
        None: [],
    }.items():
        told = health.check(config, _sound(), record, [], refused=refused)
        assert told == [f"epoch 3: {line}" for line in said]


def _sound():
    x = jnp.asarray(_features())
    labels = jnp.arange(N)
    return _state(np.arange(N, dtype=np.int32), x).replace(labels=labels)


def test_self_paced_clusters_are_measured_by_the_first():
    x, gap = _features(), 0.1
    graph = _graph(x)
    of = [clustering.dbscan(graph, max_distance=0.6 + by) for by in (0, -gap, gap)]
    wanted, most = clustering.self_paced(*of)
    config = dataclasses.replace(JACCARD, merge_criterion="dbscan", distance_gap=gap)
    labels = np.arange(N, dtype=np.int32)
    given = config, (x, x[None]), labels, make_mesh(1)
    found = regrouping.new_clusters(*given, epoch=0, independence=np.float32(np.nan))
    assert found.independence == np.float32(most)
    np.testing.assert_array_equal(found.labels, clustering.with_those_alone(wanted))
    strict, _ = clustering.self_paced(*of, most=0.0)
    later = regrouping.new_clusters(*given, epoch=1, independence=np.float32(0))
    assert later.independence == 0
    np.testing.assert_array_equal(later.labels, clustering.with_those_alone(strict))
    assert (wanted != strict).any() or most == 0


def test_a_memory_of_images_is_compared_and_stays():
    memory, x = _features(0), _features(1)
    before = _state(np.arange(N, dtype=np.int32), memory)
    config = dataclasses.replace(
        JACCARD, memory_rows="images", merge_features="memory", patch_weight=0.0
    )
    regrouped = regrouping.regroup(config, before, (x, x[None]), make_mesh(1), epoch=1)
    after = regrouped.state
    np.testing.assert_array_equal(after.labels, _new(JACCARD, memory))
    np.testing.assert_array_equal(after.cluster_memory, memory)
    means = clustering.means.cluster_centres(x, np.asarray(after.labels), rows=N)
    np.testing.assert_allclose(after.centres, means, atol=1e-6)
