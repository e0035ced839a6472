"""A start with labels, end to end, and what is told of it two generations later."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from labelled_images import labelled
from small_run import SMALL_RUN

import fgu_jax
from fgu_jax.config import presets
from fgu_jax.data import Settings, hold_out_identities, load_dataset
from fgu_jax.errors import InputError
from fgu_jax.inference.export import export
from fgu_jax.inference.trained import read_run
from fgu_jax.runs import labels
from fgu_jax.training.pretrain import pretrain
from fgu_jax.training.stopping import Stopped, StopRequest

SMALL = {
    **{k: v for k, v in SMALL_RUN.items() if "merge" not in k},
    "method": "supervised",
    "patch_generator": "affine",
    "triplet_margin": 0.3,
    "images_a_cluster": 2,
    "epochs": 12,
    "eval_every": 6,
    "crop": False,  # so that a network so small learns
    "color_jitter": 0.0,
}
for _name in ("report", "num_neighbors"):
    del SMALL[_name]
TARGET = SMALL_RUN | {"patch_generator": "affine", "epochs": 1, "merge_fraction": 0.0}


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """The folder of drawn pedestrians; they are read by their seed."""
    return str(tmp_path_factory.mktemp("data"))


def _drawn(folder, seed=0):
    settings = Settings(
        train_identities=8, test_identities=4, cameras=2, distractors=2, seed=seed
    )
    return load_dataset("synthetic", data_dir=folder, settings=settings)


def _config(folder, **changes):
    return presets.resolve(SMALL | {"workdir": str(folder)} | changes)


def _target(folder, **changes):
    return presets.resolve(TARGET | {"workdir": str(folder)} | changes)


@pytest.fixture(scope="module")
def start(people, tmp_path_factory):
    """The run with labels that nothing disturbs."""
    folder = tmp_path_factory.mktemp("start") / "run"
    return pretrain(_config(folder), _drawn(people), quiet=True)


def test_it_learns_identities(start):
    first, last = start.history[1], start.history[-1]
    assert last["accuracy"] > max(0.5, first["accuracy"])  # 8 identities
    assert last["loss_identity"] < first["loss_identity"]
    assert last["loss"] == pytest.approx(last["loss_identity"] + last["loss_triplet"])
    assert [r["epoch"] for r in start.history if "fused_mAP" in r] == [0, 6, 12]
    assert start.clusters.max() == 7
    assert not (start.directory / "clusters.csv").exists()
    assert not (start.directory / "report").exists()


def test_the_patch_generator_is_trained_here_and_frozen_later(start, second):
    source = read_run(start.directory)[1]["params"]
    # The last layer starts at 0.
    assert np.abs(source["patchnet"]["theta"]["kernel"]).max() > 0
    assert "classifiers" not in source
    target = read_run(second.directory)[1]["params"]
    assert second.config.train_patch_generator is False
    jax.tree.map(np.testing.assert_array_equal, source["patchnet"], target["patchnet"])
    kernels = (x["patch_heads"]["kernel"] for x in (source, target))
    assert np.abs(np.subtract(*kernels)).max() > 0


def test_it_stops_and_goes_on_bit_for_bit(start, people, tmp_path, monkeypatch):
    config = _config(tmp_path / "run")
    looks = []

    def look(self, *, now=False):
        looks.append(now)
        self.signum = 15 if len(looks) > 12 else None

    with monkeypatch.context() as patch:
        patch.setattr(StopRequest, "look", look)
        with pytest.raises(Stopped):
            pretrain(config, _drawn(people), quiet=True)
    resumed = pretrain(
        dataclasses.replace(config, resume=True), _drawn(people), quiet=True
    )
    assert resumed.history == start.history
    here, there = (read_run(run.directory)[1] for run in (resumed, start))
    jax.tree.map(np.testing.assert_array_equal, here, there)
    assert labels.used(resumed.directory) == labels.used(start.directory)


# --- what is told of it --------------------------------------------------------------

TOLD = "labels of synthetic: 8 identities, "


@pytest.fixture(scope="module")
def second(start, people, tmp_path_factory):
    """Other people, without labels, from that start; with a report."""
    folder = tmp_path_factory.mktemp("second") / "run"
    config = _target(folder, init=str(start.directory), seed=1, report=True)
    return fgu_jax.fit(config, _drawn(people, seed=1), quiet=True)


@pytest.fixture(scope="module")
def third(second, people, tmp_path_factory):
    """Others again, from the run without labels."""
    folder = tmp_path_factory.mktemp("third") / "run"
    config = _target(folder, init=str(second.directory), seed=2)
    return fgu_jax.fit(config, _drawn(people, seed=2), quiet=True)


def test_the_start_is_told_two_generations_on(start, second, third):
    used = labels.used(start.directory)
    assert len(used) == 1
    assert used[0].identities == tuple(range(1, 9))
    for run in (second, third):
        assert labels.used(run.directory) == used
        record = json.loads((run.directory / "run.json").read_text())
        assert record["sessions"][-1]["labels"] == [used[0].told]
        assert TOLD in f"labels of {used[0].told}"
    page = (second.directory / "report" / "index.html").read_text()
    # The lead, the row of epoch 0, and what the CMC is compared with.
    assert page.count(f"started from {TOLD}") == 3
    assert f"Started from {TOLD}" in page
    assert "untrained" not in page
    assert f"<td>started from {TOLD}" in second._repr_html_()
    assert "<td>start, fused</td>" in start._repr_html_()
    assert "untrained" not in second._repr_html_() + start._repr_html_()


def test_evaluation_and_exports_tell_it(second, drawn_folder, tmp_path, run_command):
    code, out, _ = run_command(
        "evaluate",
        f"--checkpoint={second.directory}",
        "--dataset=market1501",
        f"--data_dir={drawn_folder}",
        f"--output={tmp_path / 'found.json'}",
    )
    assert code == 0
    assert f"started from {TOLD}" in " ".join(out.split())
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["labels"].startswith(f"started from {TOLD}")
    export(second.directory, tmp_path / "exported")
    assert labels.used(tmp_path / "exported") == labels.used(second.directory)
    checkpoint = next((second.directory / "checkpoints").iterdir())
    assert labels.used(checkpoint) == labels.used(second.directory)


def test_a_run_without_such_a_start_says_nothing(people, tmp_path):
    run = fgu_jax.fit(_target(tmp_path / "run", epochs=0), _drawn(people), quiet=True)
    assert not (run.directory / "labels.json").exists()
    assert labels.used(run.directory) == ()
    record = json.loads((run.directory / "run.json").read_text())
    assert "labels" not in record["sessions"][0]


def test_the_same_people_are_warned_of(start, people, tmp_path, capsys):
    config = _target(tmp_path / "run", init=str(start.directory), epochs=0)
    fgu_jax.fit(config, _drawn(people))
    out = capsys.readouterr().out
    assert f"started from {TOLD}" in out
    assert "warning: 8 identities of the training images had labels at the" in out
    held_out = dataclasses.replace(
        config, workdir=str(tmp_path / "other"), holdout_identities=2
    )
    with pytest.raises(InputError, match="2 of 2 held-out identities are among those"):
        fgu_jax.fit(held_out, hold_out_identities(_drawn(people), 2), quiet=True)
    assert not (tmp_path / "other").exists()


def test_from_one_half_to_the_other_by_the_commands(
    drawn_folder, tmp_path, run_command
):
    shared = ["--dataset=market1501", f"--data_dir={drawn_folder}", "--epochs=1"]
    left_out = ("method", "epochs", "merge_fraction", "patch_generator")
    for command, half, given, more in (
        ("pretrain", "second_half", SMALL, ["--workdir=start"]),
        ("train", "first_half", TARGET, ["--workdir=run", "--init=start"]),
    ):
        flags = [f"--{k}={v}" for k, v in given.items() if k not in left_out]
        more = [x.replace("=start", f"={tmp_path / 'start'}") for x in more]
        more = [x.replace("=run", f"={tmp_path / 'run'}") for x in more]
        code, out, err = run_command(
            command, *shared, f"--identities={half}", *flags, *more
        )
        assert code == 0, err
    out = " ".join(out.split())
    assert "started from labels of market1501: 3 identities" in out
    assert "had labels at the start" not in out
    people = labels.used(tmp_path / "run")[0].identities
    assert len(people) == 3


# --- what is refused -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epochs": 0}, "epochs is 0: pretraining takes 1 or more"),
        ({"images_a_cluster": None}, "triplet_margin is 0.3 with images_a_cluster Non"),
        ({"images_a_cluster": 8}, "batch_size 8 and images_a_cluster 8: .* of 16 or"),
        ({"method": "fgu"}, "method is 'fgu', which learns without labels"),
    ],
)
def test_bad_settings_are_one_line(people, tmp_path, changes, said):
    config = dataclasses.replace(_config(tmp_path / "run"), **changes)
    with pytest.raises(InputError, match=said) as caught:
        pretrain(config, _drawn(people), quiet=True)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_flags_that_mean_nothing_are_refused(run_command, tmp_path):
    with pytest.raises(InputError, match="learns from labels and makes no clusters: "):
        presets.resolve({"method": "supervised", "merge_start": 3})
    with pytest.raises(InputError, match="images_a_cluster is 1: give 2 or more"):
        _config(tmp_path, images_a_cluster=1)
    code, _, err = run_command("pretrain", "--merge_start=3")
    assert (code, err.count("\n")) == (2, 1)
    code, _, err = run_command("train", "--method=supervised")
    assert code == 2
    assert "run experiments/pretrain.py" in err


def test_folders_that_hold_something_are_refused(start, people):
    config = _config(start.directory)
    with pytest.raises(InputError, match="holds a run already: add --resume"):
        pretrain(config, _drawn(people), quiet=True)
    with pytest.raises(InputError, match="learns from labels, and this trains without"):
        fgu_jax.fit(dataclasses.replace(config, resume=True), quiet=True)


def test_who_is_left_out_and_who_is_alone_is_counted(tmp_path, capsys):
    config = _config(tmp_path / "run", epochs=1)
    run = pretrain(config, labelled(tmp_path, [1, 1, 1, 2, 2, 2, 3, 3, 5, 0, -1]))
    out = " ".join(capsys.readouterr().out.split())
    assert "labels: 4 identities on 9 training images" in out
    assert "left out: 2 images of nobody known" in out
    assert "1 identities have a single image, which is its own nearest in a" in out
    assert len(run.names) == 9
    assert labels.used(run.directory)[0].identities == (1, 2, 3, 5)


def test_no_labels_and_one_identity_are_refused(tmp_path):
    nobody = dataclasses.replace(labelled(tmp_path, [1, 2]), train_labels=None)
    with pytest.raises(InputError, match="pretraining needs identities, and made has"):
        pretrain(_config(tmp_path / "run"), nobody, quiet=True)
    with pytest.raises(InputError, match="made has 1 identities to train with"):
        pretrain(_config(tmp_path / "run"), labelled(tmp_path, [4] * 9), quiet=True)


def test_a_lost_or_damaged_file_is_told(start, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    config = (start.directory / "config.json").read_text()
    (copy / "config.json").write_text(config)
    with pytest.raises(InputError, match="was trained with labels and has no labels"):
        labels.used(copy)
    (copy / "labels.json").write_text('{"labels": [{"dataset": "duke"}]}')
    with pytest.raises(InputError, match="labels.json is damaged"):
        labels.used(copy)
