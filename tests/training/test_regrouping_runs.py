"""Runs with clusters made anew: resuming, cameras and backgrounds, what is refused."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
from small_run import SMALL_RUN

from fgu_jax.config import Config, presets
from fgu_jax.data import Settings, load_dataset
from fgu_jax.errors import InputError
from fgu_jax.parallel.mesh import make_mesh
from fgu_jax.training import checks, finish, loop, regrouping, session
from fgu_jax.training.backgrounds import by_background
from fgu_jax.training.images import open_data

ANEW = {
    "distance": "jaccard",
    "merge_from": "images",
    "merge_criterion": "average",
    "merge_start": 0,
    "merge_every": 2,
    "merge_stop": 4,
    "k1": 6,
    "k2": 2,
    "max_distance": 0.8,
    "images_a_cluster": 2,
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "memory_rate": 0.9,
    "patch_loss": "clusters",
    "teacher": 0.9,
    "alone": "left_out",
    "unsure_left_out": 0.1,
    "use_cameras": True,
    "backgrounds": 3,
    "refine": 0.5,
    "smooth_patches": 0.5,
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    settings = Settings(
        train_identities=6, test_identities=4, cameras=2, distractors=0, junk=0
    )
    folder = tmp_path_factory.mktemp("data")
    return load_dataset("synthetic", data_dir=folder, settings=settings)


def _run(dataset, folder, **changes):
    of_others = ("merge_fraction", "num_neighbors")
    small = {k: v for k, v in SMALL_RUN.items() if k not in of_others}
    config = presets.resolve(small | ANEW | {"workdir": str(folder)} | changes)
    return loop.fit(config, dataset, quiet=True)


def test_a_run_of_all_of_it_resumes_bit_for_bit(dataset, tmp_path):
    whole = _run(dataset, tmp_path / "whole")
    assert [r.get("merged") for r in whole.history] == [None, None, True, None, True]
    assert whole.history[0]["clusters"] < len(dataset.train)  # before the first epoch
    _run(dataset, tmp_path / "parts", epochs=2)
    again = _run(dataset, tmp_path / "parts", resume=True)
    losses = [{k: v for k, v in r.items() if "loss" in k} for r in whole.history]
    assert [
        {k: v for k, v in r.items() if "loss" in k} for r in again.history
    ] == losses
    np.testing.assert_array_equal(again.clusters, whole.clusters)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ([0] * 12 + [*range(12)], "one of 12 clusters holds 54% of the images"),
        ([0] * 24, "all images were in one cluster: the 24 clusters"),
        ([*range(24)], "no image was in a cluster with another: the 24 clusters"),
    ],
)
def test_the_watch_looks_before_the_first_epoch(
    dataset, tmp_path, monkeypatch, made, said
):
    labels = np.array(made, np.int32)
    monkeypatch.setattr(regrouping, "new_clusters", lambda *_, **__: (labels, 0))
    changes = {"epochs": 0, "backgrounds": 0, "watch": "warn"}
    _run(dataset, tmp_path / "told", **changes)
    run = json.loads((tmp_path / "told" / "run.json").read_text())
    (warning,) = run["sessions"][0]["warnings"]
    assert warning["epoch"] == 0
    assert warning["message"].startswith(f"epoch 0: {said}")
    with pytest.raises(InputError) as stopped:
        _run(dataset, tmp_path / "stopped", **changes | {"watch": "stop"})
    assert str(stopped.value) == warning["message"]


def test_training_gets_camera_numbers_and_nothing_else(dataset):
    config = Config(dataset="synthetic", image_height=32, image_width=16)
    assert open_data(config, dataset, None).cameras is None
    given = dataclasses.replace(config, use_cameras=True)
    cameras = open_data(given, dataset, None).cameras
    np.testing.assert_array_equal(cameras, dataset.train_labels.cameras)
    assert cameras is not dataset.train_labels.cameras


def test_views_are_cameras_and_then_backgrounds(dataset, tmp_path, monkeypatch):
    """And what is made of the trained network's features has cameras alone."""
    seen, at_the_end = [], []

    def regroup(*arguments, views, **rest):
        seen.append(views)
        return regrouping.regroup(*arguments, views=views, **rest)

    monkeypatch.setattr(session, "regroup", regroup)
    monkeypatch.setattr(finish, "centred", lambda x, *of: at_the_end.append(of) or x)
    images = open_data(Config(image_height=32, image_width=16), dataset, None).images
    behind = by_background(images, 3, seed=0)
    cameras = dataset.train_labels.cameras
    wanted = {(True, 3): [cameras, behind], (False, 3): [behind], (False, 0): []}
    for (known, count), views in wanted.items():
        folder = tmp_path / f"{known} {count}"
        changes = {"use_cameras": known, "backgrounds": count, "epochs": 1}
        _run(dataset, folder, **changes, merge_start=0)
        assert len(seen[-1]) == len(views)
        for one, other in zip(seen[-1], views, strict=True):
            np.testing.assert_array_equal(one, other)
        assert len(at_the_end.pop()) == known


def test_cameras_that_are_not_known_are_refused(dataset):
    config = Config(dataset="folder", image_height=32, image_width=16, use_cameras=True)
    nameless = dataclasses.replace(dataset, train_labels=None)
    for data in (nameless, np.zeros((4, 32, 16, 3), np.uint8)):
        with pytest.raises(InputError, match="use_cameras, but the cameras of folder "):
            open_data(config, data, None)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"merge_criterion": "dbscan"}, "'dbscan' with distance 'euclid': give min or"),
        (
            {"distance": "jaccard", "merge_criterion": "median"},
            "'median' with distance 'jaccard': give min or max or average or dbscan",
        ),
        (
            {"distance": "jaccard"},
            "merge_from is 'clusters' with merge_criterion 'min'",
        ),
        ({"images_a_cluster": 5}, "images_a_cluster is 5 and batch_size 32"),
        ({"pad": 4}, "pad is 4 with crop"),
        ({"batch_norm_group": 5}, "batch_norm_group is 5 and batch_size 32"),
        ({"memory_rows": "images", "shard_tables": True}, "give shard_tables false"),
        ({"memory_rows": "images", "memory_start": "zeros"}, "memory_start 'features'"),
        ({"merge_features": "memory"}, "memory_rows 'clusters': give memory_rows"),
        ({"last_max_distance": 0.5}, r"last_max_distance is 0.5: give 0.73"),
        ({"last_max_distance": 1.5}, r"last_max_distance is 1.5: give 0.73"),
    ],
)
def test_what_does_not_go_together_is_refused(given, said):
    with pytest.raises(InputError, match=said):
        Config(**given)


def test_what_has_no_effect_is_refused():
    with pytest.raises(InputError, match="k1 is 5, which does nothing with distance"):
        presets.resolve({"preset": "paper", "k1": 5})
    given = {"preset": "tuned"}
    with pytest.raises(InputError, match="merge_fraction is 0.1, .* 'jaccard'"):
        presets.resolve(given | {"merge_fraction": 0.1})


def test_what_is_made_by_hand_is_compared_until_its_last_epoch(monkeypatch):
    given = []
    monkeypatch.setattr(session, "regroup", lambda *_, made, **__: given.append(made))
    of_run = SimpleNamespace(mesh=None, views=(), together=None, made="by hand")
    for stop in (None, 2, 0):
        of_run.config = Config(handcrafted="bow", handcrafted_stop=stop)
        for epoch in (0, 2, 3):
            session.Session.regrouped(of_run, None, None, epoch)
    wanted = ["by hand"] * 3 + ["by hand", "by hand", None] + ["by hand", None, None]
    assert given == wanted


def test_groups_of_a_batch_that_do_not_fit_the_devices_are_refused_first():
    config = Config(batch_size=24, batch_norm_group=4, num_patches=4)
    checks.validate_before_data(config, make_mesh(2))
    with pytest.raises(InputError, match="batch_norm_group is 4, .* 4 devices has 6"):
        checks.validate_before_data(config, make_mesh(4))
