"""Options of learning that the paper does not have, each seen to do what it says."""

import dataclasses

import jax
import numpy as np
import pytest
from small_run import SMALL_RUN

from fgu_jax.config import Config, presets
from fgu_jax.data import Settings, load_dataset
from fgu_jax.errors import InputError
from fgu_jax.inference.trained import read_run
from fgu_jax.losses.sharded import Gathered
from fgu_jax.training import loop, regrouping, state, tables


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    settings = Settings(
        train_identities=6, test_identities=4, cameras=2, distractors=0, junk=0
    )
    folder = tmp_path_factory.mktemp("data")
    return load_dataset("synthetic", data_dir=folder, settings=settings)


def run(dataset, folder, **changes):
    config = presets.resolve(SMALL_RUN | {"workdir": str(folder)} | changes)
    return loop.fit(config, dataset, quiet=True)


def statistics(folder):
    return read_run(folder)[1]["batch_stats"]


def test_kept_statistics_are_those_of_the_start(dataset, tmp_path):
    for epochs in (1, 2):
        run(dataset, tmp_path / str(epochs), epochs=epochs, keep_statistics=True)
    one, two = (statistics(tmp_path / name) for name in "12")
    jax.tree.map(np.testing.assert_array_equal, one["backbone"], two["backbone"])
    heads = (one["patch_heads"]["bn"]["mean"], two["patch_heads"]["bn"]["mean"])
    assert not np.array_equal(*heads)


def test_centres_of_every_epoch(dataset, tmp_path):
    paper = run(dataset, tmp_path / "merge").history
    each = run(dataset, tmp_path / "epoch", centres="epoch").history
    # Merges are after epochs 2 and 3: only the last epoch follows none.
    assert paper == each
    changes = {"epochs": 5, "merge_stop": 2}
    paper = run(dataset, tmp_path / "merge5", **changes).history
    each = run(dataset, tmp_path / "epoch5", centres="epoch", **changes).history
    assert paper[3]["loss_attracted"] == each[3]["loss_attracted"] > 0
    assert paper[4]["loss_attracted"] != each[4]["loss_attracted"]


def test_centres_may_be_the_memory():
    rng = np.random.default_rng(0)
    v, table, centres = (rng.normal(size=(4, 3)).astype("f4") for _ in range(3))
    labels = np.array([2, 0, 1, 2], np.int32)
    blank = dict.fromkeys(state.TrainState.__dataclass_fields__)
    now = state.TrainState(**blank | {
        "cluster_memory": table, "centres": centres, "num_clusters": np.int32(3),
    })  # fmt: skip
    batch = Gathered(v, np.zeros((1, 4, 2)), labels, labels)
    for option, expected in (("merge", centres), ("memory", table)):
        config = Config(centres=option, patch_weight=0)
        own = {"labels": labels, "index": labels}
        attracted = tables.WHOLE.losses(config, now, batch, 0.1, batch=batch, **own)[1]
        by_hand = 0.5 * np.square(v - expected[labels]).sum(axis=1)
        np.testing.assert_allclose(attracted, by_hand, rtol=1e-5)


def test_what_is_merged_and_with_which_penalty(dataset, tmp_path, monkeypatch):
    calls = []

    def merge(features, labels, count, **rest):
        calls.append((features.shape[1], rest["size_penalty"]))
        return merge_clusters(features, labels, count, **rest)

    merge_clusters = regrouping.merge_clusters
    monkeypatch.setattr(regrouping, "merge_clusters", merge)
    changes = {"epochs": 2, "merge_stop": 2}
    run(dataset, tmp_path / "global", **changes)
    run(
        dataset,
        tmp_path / "fused",
        merge_features="fused",
        size_penalty=0.25,
        **changes,
    )
    assert calls == [(16, 0.0), (16 + 2 * 8, 0.25)]


def test_the_memory_may_go_on_over_a_merge():
    """Three clusters of four images; the first two merge, three images in all."""
    blank = dict.fromkeys(state.TrainState.__dataclass_fields__)
    table = np.array([[1, 0], [0, 1], [0, -1], [9, 9]], "f4")
    now = state.TrainState(**blank | {
        "cluster_memory": table, "centres": table, "num_clusters": np.int32(3),
        "labels": np.array([0, 1, 0, 2], np.int32),
    })  # fmt: skip
    features = np.array([[0, 1], [0, 1], [0, 1], [1, 0]], "f4")
    labels = np.array([0, 0, 0, 1], np.int32)
    merged = state.with_merged_memory(now, labels, features)
    first = np.array([2, 1]) / np.sqrt(5)  # two images of row 0, one of row 1
    expected = [first, [0, -1], [0, 0], [0, 0]]
    np.testing.assert_allclose(merged.cluster_memory, expected, atol=1e-6)
    np.testing.assert_allclose(merged.centres[:2], [[0, 1], [1, 0]], atol=1e-6)
    assert int(merged.num_clusters) == 2
    # A row that is zero yet gives way to the images' features.
    zero = state.with_merged_memory(
        now.replace(cluster_memory=np.zeros_like(table)), labels, features
    )
    np.testing.assert_allclose(zero.cluster_memory[:2], [[0, 1], [1, 0]], atol=1e-6)


def test_a_penalty_of_another_criterion_is_refused_at_once():
    with pytest.raises(InputError, match=r"size_penalty is 0.1 .*'max'.* leave it"):
        Config(size_penalty=0.1, merge_criterion="max")
    with pytest.raises(InputError, match="size_penalty is -1"):
        dataclasses.replace(Config(), size_penalty=-1)


def test_k_means_has_no_memory_to_go_on_with():
    with pytest.raises(InputError, match="clustering 'kmeans'.*'features'"):
        Config(clustering="kmeans", memory_at_merge="memory")
    tuned = presets.resolve({"preset": "tuned", "method": "pul"})
    assert (tuned.clustering, tuned.memory_at_merge) == ("kmeans", "features")
