"""Tables of ablations: which runs, none twice, and what is said of them."""

import dataclasses
import json
import math
import types

import numpy as np
import pytest
from table_runs import BASE, run, table, without_training

from fgu_jax import ablation
from fgu_jax.ablation import page, plot, runs, scores
from fgu_jax.config import FIELDS, presets
from fgu_jax.errors import InputError
from fgu_jax.parallel.mesh import make_mesh
from fgu_jax.runs import folder as run_folder
from fgu_jax.runs import labels
from fgu_jax.runs import lock as run_lock
from fgu_jax.training import loop, programs


@pytest.fixture
def trained(monkeypatch):
    return without_training(monkeypatch)


def test_the_papers_settings():
    """Spot checks against the printed tables, and that each has its whole method."""
    tables = ablation.TABLES
    assert list(tables) == [2, 3, 4, 5, 6, 7]
    assert tables[3].published["duke"]["Centroid"] == (70.9, 53.1)
    assert tables[5].published["market1501"]["50"] == (None, None)
    assert tables[5].published["duke"]["50"] == (67.8, None)
    assert tables[6].published["market1501"]["2"] == (66.5, 38.8)
    assert tables[7].published["duke"]["0.7"] == (71.5, 53.1)
    for each in tables.values():
        assert each.full in each.settings
        assert len(each.fields) == 1
        assert each.fields[0] in FIELDS
        for printed in each.published.values():
            assert list(printed) == list(each.settings)
    assert (
        tables[6].settings["0.5"]["attract_weight"]
        == presets.resolve({"dataset": "duke"}).attract_weight
    )
    with pytest.raises(InputError, match="table is 8: give 2, 3, 4, 5, 6, 7"):
        ablation.find(8)


def test_tables_share_runs_and_no_seed_is_left_half(tmp_path):
    planned = [
        run.config.directory.name
        for number in (2, 4)
        for run in runs.plan(
            ablation.find(number), BASE, num_seeds=2, directory=tmp_path
        )
    ]
    assert planned == [
        "attract_weight=0.0-seed0",
        "base-seed0",
        "attract_weight=0.0-seed1",
        "base-seed1",
        "patch_weight=0.0-seed0",
        "base-seed0",
        "patch_weight=0.0-seed1",
        "base-seed1",
    ]
    # beta 0.5 of the grid is the base's own value; beta 0 is the ablation of table 2.
    sixth = runs.plan(ablation.find(6), BASE, num_seeds=1, directory=tmp_path)
    names = [run.config.directory.name for run in sixth]
    assert names[:4] == [
        "attract_weight=0.0-seed0",
        "attract_weight=0.2-seed0",
        "attract_weight=0.4-seed0",
        "base-seed0",
    ]


def test_no_run_is_made_twice(tmp_path, trained):
    path = table(2, tmp_path)
    assert len(trained) == 4
    text = path.read_text()
    table(2, tmp_path)
    table(4, tmp_path)
    assert [name for name, _ in trained[4:]] == [
        "patch_weight=0.0-seed0",
        "patch_weight=0.0-seed1",
    ]
    assert path.read_text() == text


def test_a_stopped_table_goes_on_where_it_was(tmp_path, trained):
    trained.stop_after = 3
    with pytest.raises(KeyboardInterrupt):
        table(2, tmp_path)
    half = (tmp_path / "table-2.md").read_text()
    assert "**3 of 4 runs are done.**" in half
    # Two seeds of one setting, one of the other: both are judged by the one they share.
    assert "| no attracted loss | 50.0 | 50.0 | 70.2 |" in half
    assert "| attracted loss | 60.0 | 60.0 | 73.4 |" in half
    trained.stop_after = math.inf
    whole = table(2, tmp_path).read_text()
    assert [resumed for _, resumed in trained] == [False] * 3 + [True]
    assert "runs are done" not in whole
    assert "| no attracted loss | 50.5 ± 0.7 | 50.5 ± 0.7 | 70.2 | 41.0 |" in whole
    assert "| attracted loss | 60.5 ± 0.7 | 60.5 ± 0.7 | 73.4 | 43.2 |" in whole
    record = json.loads((tmp_path / "table-2.json").read_text())
    assert [one["seed"] for one in record["runs"]] == [0, 0, 1, 1]
    assert record["runs"][0]["seconds"] == 2.5


@pytest.mark.parametrize("other_ends", [True, False])
def test_a_run_of_another_process_is_left_to_it(
    tmp_path, trained, monkeypatch, other_ends
):
    """It is waited for; one whose process dies is trained here."""
    theirs = "attract_weight=0.0-seed0"
    folder = tmp_path / "runs" / theirs
    folder.mkdir(parents=True)
    lock = run_lock.hold(folder, pytest.fail)
    lock.__enter__()
    waited = []

    def sleep(seconds):
        assert [name for name, _ in trained] == ["base-seed0"]
        if other_ends:
            made = runs.plan(
                ablation.find(2), BASE, num_seeds=1, directory=folder.parent
            )
            loop.fit(
                dataclasses.replace(made[0].config, resume=True),
                None,
                quiet=True,
                on_epoch=lambda _: None,
            )
            trained.pop()
        lock.__exit__(None, None, None)

    monkeypatch.setattr(runs.time, "sleep", sleep)
    monkeypatch.setattr(run_lock, "_PATIENCE_SECONDS", 0.0)
    path = table(2, tmp_path, num_seeds=1, on_wait=waited.extend)
    assert [one.config.directory.name for one in waited] == [theirs]
    assert [name for name, _ in trained] == ["base-seed0"] + [theirs] * (not other_ends)
    text = path.read_text()
    # As planned, in whatever order they ended.
    assert text.index("| no attracted loss | 0 |") < text.index(
        "| attracted loss | 0 |"
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "runs",
        "table-2.json",
        "table-2.md",
    ]


def _begin(config):
    config.directory.mkdir(parents=True)
    (config.directory / "config.json").write_text(config.to_json())


@pytest.mark.parametrize("ends", [True, False])
def test_a_run_that_another_process_makes_while_data_are_read(
    tmp_path, trained, monkeypatch, ends
):
    """It is taken as it is, or gone on with: never begun again."""
    two, folder = ablation.find(2), tmp_path / "runs"
    theirs = runs.plan(two, BASE, num_seeds=1, directory=folder)[0].config

    def read(*_):
        if ends:
            loop.fit(theirs, None, quiet=True, on_epoch=lambda _: None)
            trained.clear()
        else:
            _begin(theirs)
        return types.SimpleNamespace(query=())

    monkeypatch.setattr(runs, "read_dataset", read)
    table(2, tmp_path, num_seeds=1)
    here = [] if ends else [(theirs.directory.name, True)]
    assert trained == [*here, ("base-seed0", False)]


def test_a_run_that_another_process_begins_at_the_last_moment_is_gone_on_with(
    tmp_path, trained, monkeypatch
):
    fit = loop.fit

    def begun_by_another(config, data, **rest):
        if not config.directory.exists():
            _begin(config)
            (config.directory / "checkpoints" / "3").mkdir(parents=True)
        run_folder.check(config)
        fit(config, data, **rest)

    monkeypatch.setattr(loop, "fit", begun_by_another)
    table(2, tmp_path, num_seeds=1)
    assert trained == [("attract_weight=0.0-seed0", True), ("base-seed0", True)]


def test_a_run_with_other_settings_is_not_taken(tmp_path, trained):
    table(2, tmp_path, num_seeds=1)
    other = dataclasses.replace(BASE, learning_rate=0.5)
    message = (
        r"holds a run with learning_rate 0.03, now 0.5: give the old values, or "
        "choose another --output"
    )
    with pytest.raises(InputError, match=message):
        table(2, tmp_path, base=other)
    assert len(trained) == 2


def test_data_may_lie_at_a_relative_path(tmp_path, trained, monkeypatch):
    # A run's own configuration keeps it absolute.
    monkeypatch.chdir(tmp_path)
    base = dataclasses.replace(BASE, data_dir="here")
    table(2, tmp_path / "out", num_seeds=1, base=base)
    table(2, tmp_path / "out", num_seeds=1, base=base)
    assert len(trained) == 2
    elsewhere = dataclasses.replace(BASE, data_dir="there")
    with pytest.raises(InputError, match=r"data_dir '.*here', now '.*there'"):
        table(2, tmp_path / "out", num_seeds=1, base=elsewhere)


def test_a_figure_is_drawn_while_the_table_grows(tmp_path, trained):
    path = table(6, tmp_path, num_seeds=1)
    text = path.read_text()
    assert "|  | beta | 0 | 0.2 | 0.4 | 0.5 | 0.6 | 0.8 | 1 | 2 |" in text
    assert "| synthetic, here | Rank-1 | 50.0 | 60.0 |" in text
    assert "| Market-1501, paper | mAP | 41.0 | 41.9 |" in text
    assert (tmp_path / "figure-3.png").read_bytes()[:4] == b"\x89PNG"


def test_only_more_than_the_spread_is_ahead():
    two = ablation.find(2)

    def said(differences):
        made = []
        for seed, difference in enumerate(differences):
            made.append(run("no attracted loss", seed, 0.5))
            made.append(run("attracted loss", seed, 0.5 + difference))
        return scores.verdicts(two, scores.scores(made))[0]

    # Mean 2 and spread 1; mean 1 and spread 2; and a single seed.
    assert said([0.01, 0.02, 0.03]).endswith("**ahead by more than the spread**")
    assert "+2.0 (spread 1.0)" in said([0.01, 0.02, 0.03])
    assert said([-0.01, 0.01, 0.03]).endswith("**not ahead by more than the spread**")
    assert said([-0.01, -0.02, -0.03]).endswith("**behind by more than the spread**")
    assert said([0.02]).endswith("its spread is not known")


def test_every_setting_is_judged_by_the_fused_feature():
    without = run("no PEDAL", 0, 0.5, patch_weight=0.0)
    without.history[-1]["global_rank1"] = 0.7
    found = scores.scores([without, run("PEDAL", 0, 0.6)])
    assert found["no PEDAL"]["rank1"].of_seed == {0: 0.5}
    assert found["PEDAL"]["rank1"].of_seed == {0: 0.6}


def test_settings_are_compared_by_seeds_that_both_have():
    both = [run("no PEDAL", seed, 0.1 + 0.1 * seed) for seed in (0, 2)]
    both += [run("PEDAL", seed, 0.2 + 0.1 * seed) for seed in (1, 2)]
    found = scores.scores(both)
    assert set(found["PEDAL"]["rank1"].of_seed) == {2}
    text = scores.verdicts(ablation.find(4), found)[0]
    assert "“PEDAL” +10.0 against “no PEDAL”, of one seed" in text
    # Nothing in common: the lower seed stands, and who has none of it waits.
    apart = scores.scores([both[1], both[2]])
    assert list(apart) == ["PEDAL"]


def test_a_table_says_what_its_runs_warned_of():
    warned = run("PEDAL", 0, 0.5)
    warned.session["warnings"] = [{"epoch": 3, "message": "features have collapsed"}]
    warned.session["leak_check"] = {"rows_by_name": False}
    text = page.page(ablation.find(4), BASE, [warned], num_planned=2, command="")
    assert "- **warning**, PEDAL, seed 0: leak check: rows depend on" in text
    assert "- **warning**, PEDAL, seed 0, epoch 3: features have collapsed\n" in text
    assert "method `fgu`" in text
    # A run of another version may have kept something else of its check.
    warned.session["leak_check"] = {"rows_by_name": True, "sigmas": 1.0}
    text = page.page(ablation.find(4), BASE, [warned], num_planned=2, command="")
    assert "leak check" not in text


def test_a_table_says_whose_labels_its_runs_started_from(tmp_path):
    plain = page.page(
        ablation.find(4), BASE, [run("PEDAL", 0, 0.5)], num_planned=2, command=""
    )
    assert "labels" not in plain
    assert "untrained, fused" in plain
    started = run("PEDAL", 0, 0.5)
    config = dataclasses.replace(started.config, workdir=str(tmp_path))
    started = dataclasses.replace(started, config=config)
    used = labels.LabelsUsed(
        dataset="duke", people="duke", identities=(3, 8), images=1234
    )
    labels.write(tmp_path, (used,))
    text = page.page(ablation.find(4), BASE, [started], num_planned=2, command="")
    said = "- **started from labels of duke: 2 identities, 1,234 images**: PEDAL\n"
    assert said in text
    assert "untrained" not in text


def test_data_that_name_nobody_are_refused_before_any_training(
    tmp_path, trained, monkeypatch
):
    monkeypatch.setattr(
        runs, "read_dataset", lambda *_: types.SimpleNamespace(query=None)
    )
    with pytest.raises(InputError, match="names no identities to evaluate on"):
        table(2, tmp_path)
    assert not trained


def test_figures_that_are_not_there_are_refused():
    blind = run("PEDAL", 0, 0.5)
    del blind.history[-1]["fused_mAP"]
    with pytest.raises(InputError, match="name no identities"):
        scores.scores([blind])


def test_a_spread_of_three_seeds():
    # 1, 2 and 4: mean 7/3, variance of a sample 7/3.
    score = scores.Score({0: 0.01, 1: 0.02, 2: 0.04})
    np.testing.assert_allclose(
        [score.mean, score.spread], [7 / 300, math.sqrt(7 / 3) / 100]
    )
    assert page.page(
        ablation.find(2), BASE, [], num_planned=4, command=""
    ).count("not yet") == 4  # fmt: skip


@pytest.mark.parametrize(
    ("number", "changes", "message"),
    [
        (2, {"attract_weight": 0.0}, "its own attract_weight is 0.0"),
        (4, {"patch_weight": 0.0}, "its own patch_weight is 0.0: change that"),
        (2, {"merge_fraction": 0.0}, "attract_weight makes no difference in it"),
        (3, {"clustering": "kmeans"}, "'Maximum' and 'Centroid' would be one run"),
        (3, {"global_weight": 0.0}, "merge_criterion makes no difference in it"),
        (5, {"patch_weight": 0.0}, "num_neighbors makes no difference in it"),
        (6, {"global_weight": 0.0}, "attract_weight makes no difference in it"),
    ],
)
def test_a_comparison_with_itself_is_refused(tmp_path, number, changes, message):
    base = dataclasses.replace(BASE, **changes)
    with pytest.raises(InputError, match=message):
        runs.plan(ablation.find(number), base, num_seeds=1, directory=tmp_path)
    with pytest.raises(InputError, match="seeds is 0: give 1 or more"):
        runs.plan(ablation.find(3), base, num_seeds=0, directory=tmp_path)


def test_figures_draw_what_there_is(tmp_path):
    fifth = ablation.find(5)
    found = scores.scores([run("5", 0, 0.5), run("15", 0, 0.6)])
    plot.write(fifth, found, "synthetic, here", tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 5_000


def test_runs_that_differ_in_nothing_compiled_share_their_programs():
    first = programs.train_step(BASE, 3)
    again = dataclasses.replace(BASE, seed=5, merge_criterion="max", workdir="other")
    assert programs.train_step(again, 3) is first
    assert programs.embedding(again, make_mesh(1)) is programs.embedding(
        BASE, make_mesh(1)
    )
    for same in (
        {"attract_weight": 0.0},
        {"patch_weight": 0.3},
        {"global_weight": 2.0},
    ):
        again = dataclasses.replace(BASE, **same)
        assert programs.train_step(again, 3) is first
    local_off = dataclasses.replace(BASE, patch_weight=0.0)
    assert programs.embedding(local_off, make_mesh(1)) is programs.embedding(
        BASE, make_mesh(1)
    )
    for change in ({"patch_weight": 0.0}, {"learning_rate": 1.0}, {"neck": True}):
        assert programs.train_step(dataclasses.replace(BASE, **change), 3) is not first
    assert programs.train_step(BASE, 4) is not first
