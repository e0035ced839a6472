"""One change at a time: which settings, and what is said of them."""

import dataclasses

import pytest
from small_run import SMALL_RUN
from table_runs import BASE, run, table, without_training

from fgu_jax import ablation
from fgu_jax.ablation import page, runs
from fgu_jax.config import FIELDS, presets
from fgu_jax.errors import InputError


@pytest.fixture
def trained(monkeypatch):
    return without_training(monkeypatch)


@pytest.mark.parametrize("preset", sorted(presets.PRESETS))
def test_every_choice_changes_one_thing_and_can_be_run(preset, tmp_path):
    base = presets.resolve({"preset": preset, "dataset": "market1501"})
    found = ablation.choices(base)
    planned = runs.plan(found, base, num_seeds=1, directory=tmp_path)
    assert planned[0].config.directory.name == "base-seed0"
    assert len({run.config.directory for run in planned}) == len(found.settings)
    for one in planned[1:]:
        differs = {
            name: getattr(one.config, name)
            for name in FIELDS
            if getattr(one.config, name) != getattr(base, name)
            and name not in ("workdir", "report")
        }
        assert differs == found.settings[one.label]
        assert set(differs) <= {"image_height", "image_width"} or len(differs) == 1


@pytest.mark.parametrize(
    ("changes", "not_there"),
    [
        ({"method": "pul"}, {"memory_at_merge", "merge_fraction", "num_neighbors"}),
        ({"method": "paul"}, {"attract_weight", "patch_weight", "memory_start"}),
        ({"method": "buc"}, {"num_neighbors", "centres", "attract_start"}),
        ({"merge_criterion": "max"}, {"size_penalty"}),
    ],
)
def test_what_makes_no_difference_is_no_choice(changes, not_there, tmp_path):
    base = presets.resolve({"dataset": "market1501"} | changes)
    found = ablation.choices(base)
    assert not not_there & set(found.fields)
    assert {"neck", "learning_rate"} <= set(found.fields)
    runs.plan(found, base, num_seeds=1, directory=tmp_path)


def test_choices_cover_what_the_paper_leaves_open():
    fields = ablation.choices(presets.resolve({"preset": "tuned-2026-11"})).fields
    wanted = {
        *("memory_start", "centres", "attract_start", "neck", "learning_rate"),
        *("head_learning_rate", "size_penalty", "image_height", "color_jitter"),
        *("erasing", "batch_size", "num_neighbors", "merge_fraction"),
    }
    assert wanted <= set(fields)


def test_a_choice_that_is_made_is_left_out():
    base = dataclasses.replace(BASE, merge_criterion="max", neck=True)
    found = ablation.choices(base).settings
    assert "neck=False" in found
    assert "neck=True" not in found
    assert not any("size_penalty" in label for label in found)


def test_settings_of_ones_own_are_compared_by_seed(tmp_path, trained):
    own = ablation.tried(BASE, ["attract_weight=0", "epochs=3 lr_drop_epoch=2"])
    path = table(own, tmp_path)
    assert path.name == "tried.md"
    text = path.read_text()
    assert [name for name, _ in trained] == [
        "base-seed0",
        "attract_weight=0.0-seed0",
        "epochs=3-lr_drop_epoch=2-seed0",
        "base-seed1",
        "attract_weight=0.0-seed1",
        "epochs=3-lr_drop_epoch=2-seed1",
    ]
    # The stand-in gives 0.6 + 0.01 seed, and 0.1 less without the attracted loss.
    assert "| as it is | 60.5 ± 0.7 | 60.5 ± 0.7 |  |  |" in text
    less = (
        "| attract_weight=0.0 | 50.5 ± 0.7 | 50.5 ± 0.7 | -10.0 ± 0.0 | -10.0 ± 0.0 |"
    )
    assert less in text
    same = "| epochs=3 lr_drop_epoch=2 | 60.5 ± 0.7 | 60.5 ± 0.7 | +0.0 ± 0.0 |"
    assert same in text
    assert "paper" not in text.split("## Runs")[0]


def test_a_table_that_grows_says_what_is_not_there_yet():
    own = ablation.tried(BASE, ["neck=true"])
    text = page.page(own, BASE, [run("as it is", 0, 0.5)], num_planned=2, command="")
    assert "| neck=True | not yet | not yet |  |  |" in text


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["neck"], "give FIELD=VALUE"),
        ([""], "give FIELD=VALUE"),
        (["=3"], "give FIELD=VALUE"),
        (["neck='"], "--try=neck=': No closing quotation"),
        (["nekc=1"], "unknown field 'nekc': did you mean 'neck'"),
        (["seed=3"], "seed is the same for all runs of a table, give --seed itself"),
        (["holdout_identities=9"], "holdout_identities is the same for all runs"),
        (["workdir=x"], "workdir is set by the table for each run"),
        (["neck=maybe"], "neck is 'maybe'"),
        (["neck=false"], "the configuration has these values already"),
        (["neck=true", "--neck=1"], "--try=--neck=1 is given twice"),
    ],
)
def test_settings_that_cannot_be_tried_are_refused(texts, message):
    with pytest.raises(InputError, match=message):
        ablation.tried(presets.resolve(SMALL_RUN), texts)


def test_a_folder_is_named_by_a_path_without_making_folders(tmp_path):
    own = ablation.tried(BASE, ["init=../a/b.pth"])
    last = runs.plan(own, BASE, num_seeds=1, directory=tmp_path)[-1]
    assert last.config.directory.parent == tmp_path
    assert last.config.init == "../a/b.pth"


def test_a_setting_that_never_runs_is_refused_before_any_run(tmp_path, trained):
    own = ablation.tried(BASE, ["neck=true", "num_patches=3"])
    with pytest.raises(InputError, match="num_patches"):
        table(own, tmp_path)
    assert not trained


def test_a_setting_that_the_configuration_rules_out_is_refused_before_any_run(
    tmp_path,
    trained,
):
    own = ablation.tried(BASE, ["neck=true", "size_penalty=0.1 merge_criterion=max"])
    with pytest.raises(InputError, match="it goes with 'min' alone"):
        table(own, tmp_path)
    assert not trained
