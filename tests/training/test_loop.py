"""A whole run on drawn images: train, merge, save, stop, resume, load."""

import ast
import csv
import dataclasses
import json
import signal
from pathlib import Path

import jax
import numpy as np
import pytest
from small_run import SMALL_RUN

import fgu_jax
from fgu_jax import report
from fgu_jax.config import presets
from fgu_jax.data import Labels, Settings, load_dataset
from fgu_jax.errors import InputError
from fgu_jax.evaluation.judge import CLUSTER_SCORES
from fgu_jax.inference.passes import Embedding
from fgu_jax.inference.trained import read_run
from fgu_jax.runs import checkpoints
from fgu_jax.training import loop
from fgu_jax.training.epoch import Epochs
from fgu_jax.training.health import FiniteLosses
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
    return presets.resolve(SMALL | {"workdir": str(folder)} | changes)


@pytest.fixture(scope="module")
def whole(dataset, tmp_path_factory):
    """The run that nothing disturbs."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    return loop.fit(_config(folder), dataset, quiet=True)


def _final(folder):
    return read_run(folder)[1]


def _assert_same_run(folder, other):
    for name in ("metrics.jsonl", "clusters.csv"):
        assert (folder / name).read_bytes() == (other / name).read_bytes()
    for a, b in zip(
        jax.tree.leaves(_final(folder)), jax.tree.leaves(_final(other)), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_a_run_leaves_what_it_promises(whole, dataset):
    num_images = len(dataset.train)
    records = [
        json.loads(line)
        for line in (whole.directory / "metrics.jsonl").read_text().splitlines()
    ]
    assert records == whole.history
    assert [r["epoch"] for r in records] == [0, 1, 2, 3, 4]
    n = int(0.1 * num_images)
    expected = [num_images] * 2 + [num_images - n] + [num_images - 2 * n] * 2
    assert [r["clusters"] for r in records] == expected
    assert all("fused_mAP" in records[k] for k in (0, 2, 4))
    assert all("fused_mAP" not in records[k] for k in (1, 3))
    assert all(np.isfinite(v) for r in records for v in r.values())
    with (whole.directory / "clusters.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [r["image"] for r in rows] == list(dataset.train.names)
    clusters = np.array([int(r["cluster"]) for r in rows])
    np.testing.assert_array_equal(clusters, whole.clusters)
    assert set(clusters) == set(range(clusters.max() + 1))
    assert json.loads((whole.directory / "config.json").read_text())["epochs"] == 4
    assert list((whole.directory / "tensorboard").iterdir())
    assert len((whole.directory / "timings.jsonl").read_text().splitlines()) == 5


@pytest.mark.parametrize("at_step", [1, 7])
def test_a_stopped_run_resumes_bit_for_bit(
    whole, dataset, tmp_path, monkeypatch, at_step
):
    push = FiniteLosses.push

    def push_and_stop(self, step, losses):
        if step == at_step:
            signal.raise_signal(signal.SIGTERM)
        return push(self, step, losses)

    monkeypatch.setattr(FiniteLosses, "push", push_and_stop)
    with pytest.raises(Stopped) as stopped:
        loop.fit(_config(tmp_path / "run"), dataset, quiet=True)
    assert stopped.value.code == 143
    monkeypatch.setattr(FiniteLosses, "push", push)
    resumed = loop.fit(_config(tmp_path / "run", resume=True), dataset, quiet=True)
    _assert_same_run(resumed.directory, whole.directory)


def test_a_run_killed_between_checkpoints_resumes(
    whole, dataset, tmp_path, monkeypatch
):
    class Killed(BaseException):
        pass

    def die(self, *, all_but=0):
        if self._epoch == 4:  # after the checkpoint of epoch 2 and epoch 3's record
            raise Killed

    monkeypatch.setattr(FiniteLosses, "check", die)
    with pytest.raises(Killed):
        loop.fit(_config(tmp_path / "run"), dataset, quiet=True)
    monkeypatch.undo()
    metrics = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert len(metrics.splitlines()) == 4  # one more than the checkpoint knows
    resumed = loop.fit(_config(tmp_path / "run", resume=True), dataset, quiet=True)
    _assert_same_run(resumed.directory, whole.directory)


def test_resumed_on_more_devices_it_goes_on(whole, dataset, tmp_path):
    loop.fit(_config(tmp_path / "run", epochs=2), dataset, quiet=True)
    config = _config(tmp_path / "run", resume=True, devices=2)
    resumed = loop.fit(config, dataset, quiet=True)
    for a, b in zip(resumed.history, whole.history, strict=True):
        assert a["clusters"] == b["clusters"]
        if "loss" in a:
            np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-3)


def test_identities_move_no_training_figure(whole, dataset, tmp_path):
    noise = np.random.default_rng(0).integers(1, 5, len(dataset.train), np.int32)
    labels = Labels(identities=noise, cameras=None)
    noisy = dataclasses.replace(dataset, train_labels=labels)
    run = loop.fit(_config(tmp_path / "run"), noisy, quiet=True)
    judged = CLUSTER_SCORES
    for a, b in zip(run.history, whole.history, strict=True):
        assert {k: v for k, v in a.items() if k not in judged} == {
            k: v for k, v in b.items() if k not in judged
        }
    assert run.history[-1]["nmi"] != whole.history[-1]["nmi"]
    np.testing.assert_array_equal(run.clusters, whole.clusters)


@pytest.fixture
def embedded(monkeypatch):
    """The sizes of the sets of images that are embedded, in order; "epoch" between."""
    seen = []
    embed, train = Embedding.__call__, Epochs.__call__

    def embed_and_note(self, variables, images, *, progress=None):
        seen.append(len(images))
        return embed(self, variables, images, progress=progress)

    def train_and_note(self, *args):
        seen.append("epoch")
        return train(self, *args)

    monkeypatch.setattr(Embedding, "__call__", embed_and_note)
    monkeypatch.setattr(Epochs, "__call__", train_and_note)
    return seen


@pytest.mark.parametrize("changes", [{}, {"merge_stop": 4}, {"centres": "epoch"}])
def test_each_set_is_embedded_once_after_the_last_step(
    dataset, tmp_path, embedded, monkeypatch, changes
):
    # What the report shows is gathered; it is not drawn.
    drawn = []
    monkeypatch.setattr(report, "write", lambda *given, **_: drawn.append(given))
    changes = {"report": True, "stream": "always"} | changes
    run = loop.fit(_config(tmp_path / "run", **changes), dataset, quiet=True)
    assert len(drawn) == 1
    sets = sorted(map(len, (dataset.train, dataset.query, dataset.gallery)))
    starts = [place for place, what in enumerate(embedded) if what == "epoch"]
    assert sorted(embedded[starts[-1] + 1 :]) == sets
    assert sorted(embedded[: starts[0]]) == sets
    embedded.clear()
    config = dataclasses.replace(run.config, resume=True)
    again = loop.fit(config, dataset, quiet=True)
    np.testing.assert_array_equal(again.clusters, run.clusters)
    assert sorted(embedded) == sets


def test_an_untrained_run_embeds_each_set_once(dataset, tmp_path, embedded):
    config = _config(tmp_path / "run", epochs=0, report=True)
    loop.fit(config, dataset, quiet=True)
    sets = map(len, (dataset.train, dataset.query, dataset.gallery))
    assert sorted(embedded) == sorted(sets)


def test_no_function_of_training_takes_many_arguments():
    for path in Path(loop.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                assert len(node.args.posonlyargs + node.args.args) <= 5, node.name
                if path.name in ("loop.py", "session.py"):
                    assert node.end_lineno - node.lineno < 60, node.name


def test_streamed_images_train_alike(whole, dataset, tmp_path):
    run = loop.fit(_config(tmp_path / "run", stream="always"), dataset, quiet=True)
    _assert_same_run(run.directory, whole.directory)


def test_images_alone_train_and_give_the_same_network(whole, dataset, tmp_path):
    images = dataset.train.decode(32, 16)
    run = loop.fit(_config(tmp_path / "run"), images, quiet=True)
    np.testing.assert_array_equal(run.clusters, whole.clusters)
    assert not any("mAP" in name for record in run.history for name in record)


def test_a_loaded_network_embeds_any_size(whole, dataset):
    embedder = fgu_jax.load(whole.directory)
    images = dataset.train.decode(32, 16)
    features = embedder(images)
    assert features.shape == (len(images), 16 + 2 * 8)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(embedder(images[:3]), features[:3])
    large = np.repeat(np.repeat(images[:2], 2, axis=1), 2, axis=2)
    assert embedder(list(large)).shape == (2, features.shape[1])
    np.testing.assert_array_equal(embedder(images[:3] / 255), features[:3])
    with pytest.raises(InputError, match="image 0"):
        embedder(images / 255 - 1)
    with pytest.raises(InputError, match="part"):
        embedder(images, part="both")


def test_an_existing_run_is_not_overwritten(whole, dataset, tmp_path):
    with pytest.raises(InputError, match="--resume"):
        loop.fit(_config(whole.directory), dataset, quiet=True)
    changed = _config(whole.directory, resume=True, temperature=0.2)
    with pytest.raises(InputError, match=r"temperature 0\.1 -> 0\.2"):
        loop.fit(changed, dataset, quiet=True)
    with pytest.raises(InputError, match="no run"):
        loop.fit(_config(tmp_path / "new", resume=True), dataset, quiet=True)
    other = dataclasses.replace(
        dataset,
        train=dataset.train.take(range(len(dataset.train) - 1)),
        train_labels=None,
    )
    with pytest.raises(InputError, match="other images"):
        loop.fit(_config(whole.directory, resume=True), other, quiet=True)


def test_a_loss_that_is_not_finite_stops_the_run(dataset, tmp_path):
    config = _config(tmp_path / "run", learning_rate=1e30, save_every=1)
    with pytest.raises(InputError, match=r"epoch 1, step \d+.*learning_rate"):
        loop.fit(config, dataset, quiet=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 1000}, "batch_size 1000 is larger than the"),
        ({"batch_size": 990, "images_a_cluster": 90}, "give 180 images or more"),
        ({"batch_size": 9, "devices": 2}, "9 is not divisible by 2 devices"),
        ({"num_patches": 3}, "num_patches"),
        ({"num_neighbors": 400}, "num_neighbors is 400"),
        ({"merge_fraction": 0.6}, "fewer than 2"),
        ({"merge_fraction": 1e-4}, "less than one cluster"),
        ({"devices": 99}, "devices is 99 but 8"),
    ],
)
def test_what_cannot_run_is_refused_first(dataset, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        loop.fit(_config(tmp_path / "run", **changes), dataset, quiet=True)


def test_a_step_that_exists_is_kept(whole):
    folder = whole.directory / "checkpoints"
    found = checkpoints.Checkpoints(folder, read_only=True)
    assert found.latest() == 4 * (len(whole.names) // 8)
    found.close()
