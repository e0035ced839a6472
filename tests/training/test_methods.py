"""The methods FGU is compared with: their settings, runs and refusals."""

import csv
import dataclasses
import json
import signal

import jax
import numpy as np
import pytest
from small_run import SMALL_RUN

import fgu_jax
from fgu_jax.config import FIELDS, methods, presets
from fgu_jax.data import Settings, load_dataset
from fgu_jax.errors import InputError
from fgu_jax.inference.trained import read_run
from fgu_jax.parallel.mesh import make_mesh
from fgu_jax.training import loop, regrouping
from fgu_jax.training.images import open_data
from fgu_jax.training.stopping import Stopped

SMALL = SMALL_RUN | {"eval_every": 2}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    settings = Settings(
        train_identities=6, test_identities=4, cameras=2, distractors=2, junk=1
    )
    folder = tmp_path_factory.mktemp("data")
    return load_dataset("synthetic", data_dir=folder, settings=settings)


def _config(folder, **changes):
    given = SMALL | {"workdir": str(folder)} | changes
    if given["method"] in ("pul", "paul"):  # they do not merge
        del given["merge_fraction"]
    return presets.resolve(given)


# --- settings ------------------------------------------------------------------------


def test_a_method_comes_after_the_preset_and_before_the_user():
    paper = presets.resolve({"dataset": "market1501", "method": "buc"})
    assert (paper.epochs, paper.learning_rate, paper.batch_size) == (56, 0.01, 16)
    assert (paper.patch_weight, paper.attract_weight) == (0, 0)
    assert (paper.memory_start, paper.size_penalty) == ("zeros", 0.003)
    merges = [epoch for epoch in range(1, 57) if paper.regroups_after(epoch)]
    assert merges == list(range(20, 55, 2))
    assert len(merges) == 18
    quick = presets.resolve({"dataset": "synthetic", "method": "buc"})
    assert quick.preset == "quick"
    plain = presets.resolve({"dataset": "synthetic", "preset": "quick-2026-11"})
    # The budget of the preset that merges: what differs is what the method is.
    changed = {n for n in FIELDS if getattr(quick, n) != getattr(plain, n)}
    assert changed == {
        *("method", "patch_weight", "attract_weight", "memory_start", "size_penalty"),
        "preset",
    }
    mine = presets.resolve({"method": "buc", "size_penalty": "0.1", "epochs": "3"})
    assert (mine.size_penalty, mine.epochs) == (0.1, 3)


def test_cluster_contrast_is_itself_under_every_preset():
    for preset in presets.PRESETS:
        made = presets.resolve({"preset": preset, "method": "cluster_contrast"})
        assert (made.merge_criterion, made.max_distance) == ("dbscan", 0.6)
        assert (made.distance, made.merge_from, made.k1) == ("jaccard", "images", 30)
        assert (made.memory_rate, made.temperature) == (0.9, 0.05)
        assert (made.patch_weight, made.attract_weight) == (0, 0)
        assert (made.handcrafted, made.backgrounds) == ("none", 0)
        assert all(map(made.regroups_after, range(60)))
    paper = presets.resolve({"preset": "paper", "method": "cluster_contrast"})
    assert (paper.batch_size, paper.images_a_cluster) == (256, 16)
    assert (paper.optimizer, paper.pooling, paper.pad) == ("adam", "gem", 10)


def test_spcl_is_itself_under_every_preset():
    for preset in presets.PRESETS:
        made = presets.resolve({"preset": preset, "method": "spcl"})
        assert (made.memory_rows, made.memory_rate) == ("images", 0.8)
        assert (made.merge_features, made.distance_gap) == ("memory", 0.02)
        assert (made.merge_criterion, made.max_distance) == ("dbscan", 0.6)
        assert (made.alone, made.temperature, made.patch_weight) == ("kept", 0.05, 0)
        assert all(map(made.regroups_after, range(60)))
    assert presets.resolve({"preset": "paper", "method": "spcl"}).batch_size == 64
    given = {"method": "spcl", "memory_at_merge": "memory"}
    with pytest.raises(InputError, match="memory_at_merge"):
        presets.resolve(given)


def test_methods_that_merge_on_are_themselves_under_every_preset():
    for preset in {*presets.PRESETS} - {"larger"}:
        given = {"dataset": "folder", "preset": preset}
        buc, paul, pul = (
            presets.resolve(given | {"method": name}) for name in ("buc", "paul", "pul")
        )
        assert {c.distance for c in (buc, paul, pul)} == {"euclid"}
        assert {c.handcrafted for c in (buc, paul, pul)} == {"none"}
        assert (buc.merge_from, buc.size_penalty > 0) == ("clusters", True)
        assert (paul.patch_loss, pul.clustering) == ("pedal", "kmeans")
        size = (buc.backbone, buc.image_shape)
        of_preset = presets.resolve(given)
        assert size == (of_preset.backbone, of_preset.image_shape)


def test_default_folders_do_not_collide():
    folders = {
        str(presets.resolve({"method": name}).directory) for name in methods.METHODS
    }
    assert len(folders) == len(methods.METHODS)
    assert "runs/synthetic" in folders


def test_all_settings_are_fields_with_values_they_take():
    for name in methods.METHODS:
        for preset in presets.PRESETS:
            if preset == "larger" and methods.METHODS[name].merging:
                continue  # refused
            config = presets.resolve({"method": name, "preset": preset})
            assert config.method == name
        assert methods.METHODS[name].unused <= set(FIELDS)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"method": "lomo", "epochs": 5}, "lomo trains nothing: leave epochs out"),
        ({"method": "bow", "init": "random", "neck": "true"}, "leave init, neck out"),
        ({"method": "lomo", "report": "true"}, "leave report out"),
        ({"method": "pul", "merge_fraction": 0.1}, "does not merge clusters"),
        (
            {"method": "lomoo"},
            "choose fgu or buc or paul or pul or cluster_contrast or spcl or bow or ",
        ),
        ({"global_weight": 0, "patch_weight": 0}, "nothing would be learnt"),
        ({"method": "paul", "patch_weight": 0}, "nothing would be learnt"),
        ({"method": "buc", "preset": "larger"}, "--method=buc merges on: give quick"),
        ({"triplet_margin": 0.3}, "fgu learns without labels, pretrain.py with them"),
        ({"method": "supervised", "last_temperature": 0.02}, "leave last_temperature"),
        ({"method": "supervised", "memory_rows": "images"}, "leave memory_rows out"),
        (
            {"dataset": "market1501", "difficulty": 0.9},
            "difficulty is 0.9, which does nothing with dataset 'market1501'",
        ),
        ({"reliability": 1.5}, "reliability is 1.5"),
        ({"kmeans_clusters": 1}, "kmeans_clusters is 1"),
        (
            {"method": "pul", "memory_start": "zeros"},
            "memory_start is 'zeros', which does nothing with clustering 'kmeans': ",
        ),
        (
            {"clustering": "kmeans", "merge_fraction": 0.1, "merge_criterion": "max"},
            "merge_fraction is 0.1, merge_criterion is 'max', .*: leave them out",
        ),
        ({"kmeans_clusters": 9}, "kmeans_clusters is 9, .* clustering 'merge'"),
        ({"train_patch_generator": "true"}, "patch_generator 'stripes': leave it out"),
    ],
)
def test_contradictions_are_one_line(given, said):
    with pytest.raises(InputError, match=said) as caught:
        presets.resolve(given)
    assert "\n" not in str(caught.value)


def test_what_a_method_sets_anyway_may_be_given():
    assert presets.resolve({"method": "lomo", "report": "false"}).method == "lomo"
    presets.resolve({"method": "pul", "memory_start": "features", "kmeans_clusters": 9})
    presets.resolve({"patch_generator": "affine", "train_patch_generator": True})
    presets.resolve(
        {"preset": "tuned", "clustering": "kmeans", "memory_at_merge": "features"}
    )


# --- runs of the methods that train --------------------------------------------------


@pytest.fixture(scope="module")
def pul(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pul") / "run"
    # Features of random weights are all alike: a high bar leaves some out.
    config = _config(folder, method="pul", kmeans_clusters=7, reliability=0.99)
    return loop.fit(config, dataset, quiet=True)


def test_pul_clusters_anew_and_trains_on_reliable_images(pul, dataset):
    history = pul.history
    assert [r.get("merged", False) for r in history] == [
        False,
        False,
        True,
        True,
        False,
    ]
    assert [r["clusters"] for r in history] == [7] * 5
    assert all(r["loss_patch"] == r["loss_attracted"] == 0 for r in history[1:])
    assert all(r["loss"] > 0 for r in history[1:])
    # Clusters of all images, and no -1 in any file.
    assert pul.clusters.min() == 0
    with (pul.directory / "clusters.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(dataset.train)
    clusters = [int(row["cluster"]) for row in rows]
    assert clusters == pul.clusters.tolist()
    assert set(clusters) == set(range(max(clusters) + 1))


def test_pul_leaves_images_out(pul, dataset):
    images = open_data(pul.config, dataset, None).images
    features = np.random.default_rng(0).normal(size=(len(images), 16))
    features = (features / np.linalg.norm(features, axis=1, keepdims=True)).astype("f4")
    labels, _ = regrouping.new_clusters(
        dataclasses.replace(pul.config, reliability=0.7),
        (features, features[None]),
        np.zeros(len(images), np.int32),
        make_mesh(1),
        epoch=2,
    )
    assert set(labels.tolist()) == set(range(-1, 7))


@pytest.fixture(scope="module")
def spcl(dataset, tmp_path_factory):
    changes = {"k1": 4, "k2": 1, "max_distance": 0.7, "distance_gap": 0.2}
    folder = tmp_path_factory.mktemp("spcl") / "run"
    given = SMALL | {"method": "spcl", "workdir": str(folder), "merge_stop": 4}
    del given["merge_fraction"], given["merge_start"]  # the method's: before the first
    return loop.fit(presets.resolve(given | changes), dataset, quiet=True)


def test_spcl_keeps_a_row_an_image(spcl, dataset):
    first, *others = spcl.history
    assert 1 < first["clusters"] <= len(dataset.train)
    assert [r.get("merged") for r in others] == [True] * 4
    for record in others:
        assert record["loss"] == record["loss_repelled"] > 0


@pytest.mark.parametrize("method", ["pul", "spcl"])
def test_it_resumes_bit_for_bit(method, request, dataset, tmp_path, monkeypatch):
    whole = request.getfixturevalue(method)
    config = dataclasses.replace(whole.config, workdir=str(tmp_path / "run"))
    calls = []
    from fgu_jax.training.stopping import StopRequest

    def look(self, now=False):
        calls.append(now)
        if len(calls) == 9:
            self.signum = signal.SIGTERM

    with monkeypatch.context() as patch:
        patch.setattr(StopRequest, "look", look)
        with pytest.raises(Stopped):
            loop.fit(config, dataset, quiet=True)
    resumed = loop.fit(dataclasses.replace(config, resume=True), dataset, quiet=True)
    assert resumed.history == whole.history
    np.testing.assert_array_equal(resumed.clusters, whole.clusters)
    here, there = (read_run(run.directory)[1] for run in (resumed, whole))
    jax.tree.map(np.testing.assert_array_equal, here, there)


def test_paul_trains_the_local_branch_alone(dataset, tmp_path):
    run = loop.fit(_config(tmp_path / "run", method="paul"), dataset, quiet=True)
    assert [r["clusters"] for r in run.history] == [len(dataset.train)] * 5
    for record in run.history[1:]:
        # The total is the patch loss and its weight; what else there is, is shown.
        assert record["loss"] == pytest.approx(2 * record["loss_patch"], rel=1e-5)
        assert record["loss_repelled"] > 0
    assert "merged" not in run.history[2]


def test_buc_repels_and_merges(dataset, tmp_path):
    run = loop.fit(_config(tmp_path / "run", method="buc"), dataset, quiet=True)
    first, last = run.history[1], run.history[-1]
    assert first["loss_patch"] == first["loss_attracted"] == 0
    assert first["loss"] == first["loss_repelled"] > 0
    assert last["clusters"] < len(dataset.train)


def test_cluster_contrast_trains_on_clusters_of_dbscan(dataset, tmp_path):
    changes = {"k1": 4, "k2": 1, "max_distance": 0.7, "merge_stop": 3}
    given = SMALL | {"method": "cluster_contrast", "workdir": str(tmp_path / "run")}
    del given["merge_fraction"], given["merge_start"]  # the method's: before the first
    run = loop.fit(presets.resolve(given | changes), dataset, quiet=True)
    assert run.history[0]["clusters"] < len(dataset.train)
    assert [r.get("merged") for r in run.history[1:4]] == [True] * 3
    for record in run.history[1:]:
        assert record["loss"] == record["loss_repelled"] > 0
    assert run.clusters.min() == 0


def test_more_clusters_than_images_is_refused(dataset, tmp_path):
    count = len(dataset.train)
    config = _config(tmp_path / "run", method="pul", kmeans_clusters=count + 1)
    with pytest.raises(InputError, match=f"{count + 1} of {count} images"):
        loop.fit(config, dataset, quiet=True)


# --- runs of the methods that do not -------------------------------------------------


@pytest.fixture(scope="module", params=methods.HANDCRAFTED)
def measured(request, dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "run"
    config = presets.resolve({"method": request.param, "workdir": str(folder)})
    return loop.fit(config, dataset, quiet=True)


def test_a_handcrafted_run_writes_its_figures(measured):
    name = measured.config.method
    (record,) = measured.history
    assert record["epoch"] == 0
    assert 0 < record[f"{name}_mAP"] <= record[f"{name}_rank5"] <= 1
    lines = (measured.directory / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [record]
    files = {path.name for path in measured.directory.iterdir()}
    assert {"config.json", "run.json", "metrics.jsonl", "timings.jsonl"} <= files
    assert not files & {"checkpoints", "clusters.csv", "report"}
    assert len(measured.clusters) == len(measured.names)


def test_its_folder_is_a_runs(measured, dataset):
    with pytest.raises(InputError, match="holds a run already"):
        loop.fit(measured.config, dataset, quiet=True)
    again = dataclasses.replace(measured.config, resume=True)
    assert loop.fit(again, dataset, quiet=True).history == measured.history
    other = dataclasses.replace(again, image_height=160)
    with pytest.raises(InputError, match="image_height 128 -> 160"):
        loop.fit(other, dataset, quiet=True)


def test_one_that_died_is_started_again(dataset, tmp_path):
    config = presets.resolve({"method": "lomo", "workdir": str(tmp_path / "run")})
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(config.to_json())
    (tmp_path / "run" / "metrics.jsonl").write_text('{"epoch": 0, "lomo_r')
    for resume in (True, False):
        (tmp_path / "run" / "metrics.jsonl").write_text('{"epoch": 0, "lomo_r')
        now = dataclasses.replace(config, resume=resume)
        assert "lomo_mAP" in loop.fit(now, dataset, quiet=True).history[0]


def test_there_is_no_network_in_it(measured):
    said = f"--method={measured.config.method}, which trains no network"
    with pytest.raises(InputError, match=said):
        fgu_jax.load(measured.directory)


def test_without_identities_there_is_nothing_to_do(tmp_path):
    config = presets.resolve({"method": "lomo", "workdir": str(tmp_path / "run")})
    images = np.zeros((4, 128, 48, 3), np.uint8)
    with pytest.raises(InputError, match="no identities to evaluate with"):
        loop.fit(config, images, quiet=True)
    assert not (tmp_path / "run").exists()


def test_small_images_are_refused_before_any_is_read(tmp_path):
    given = {"method": "lomo", "image_width": 32, "workdir": str(tmp_path / "run")}
    with pytest.raises(
        InputError, match="128 x 32: method 'lomo' takes 40 x 40 or more: give image"
    ):
        loop.fit(presets.resolve(given), quiet=True)
