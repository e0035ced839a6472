"""evaluate.py: every feature, plain and re-ranked, by the run's own protocol."""

import dataclasses
import json

import numpy as np
import pytest

import fgu_jax
from fgu_jax import retrieval
from fgu_jax.config import presets
from fgu_jax.data import load_dataset
from fgu_jax.errors import InputError
from fgu_jax.evaluation import score as scoring


def _evaluate(run_command, run, *arguments):
    return run_command("evaluate", f"--checkpoint={run.directory}", *arguments)


@pytest.mark.parametrize("options", [[], ["--stream=always"]])
def test_it_repeats_the_runs_own_figures(run_command, trained_run, tmp_path, options):
    output = tmp_path / "evaluation.json"
    options = [*options, f"--output={output}"]
    code, out, err = _evaluate(run_command, trained_run, *options)
    assert (code, err) == (0, "")
    found = json.loads(output.read_text())
    last = trained_run.history[-1]
    assert [row["part"] for row in found["rows"]] == ["global", "local", "fused"]
    for row in found["rows"]:
        for name in ("rank1", "rank5", "rank10", "mAP", "mINP"):
            assert row[name] == pytest.approx(last[f"{row['part']}_{name}"], abs=1e-9)
        assert f"{100 * row['mAP']:.1f}" in out
    said = " ".join(out.split())
    for words in ("identity and camera are left out", "mean precision at hits"):
        assert words in said
    assert f"{found['num_queries']} queries counted" in said
    assert found["identity"] == fgu_jax.load(trained_run.directory).identity


def test_re_ranked_rows_and_both_precisions(run_command, trained_run, tmp_path):
    output = tmp_path / "evaluation.json"
    code, out, _ = _evaluate(
        run_command,
        trained_run,
        f"--output={output}",
        "--rerank",
        "--k1=4",
        "--k2=2",
        "--average_precision=both",
    )
    assert code == 0
    found = json.loads(output.read_text())
    assert [(row["part"], row["reranked"]) for row in found["rows"]] == [
        (part, again)
        for part in ("global", "local", "fused")
        for again in (False, True)
    ]
    assert found["reranking"] == {"k1": 4, "k2": 2, "lambda_value": 0.3}
    assert "mAP trapezoid" in " ".join(out.replace("\n", " ").split())
    # The fused row, from its parts.
    dataset = load_dataset("market1501", data_dir=trained_run.config.data_dir)
    network = fgu_jax.load(trained_run.directory)
    query, gallery = (
        network(images.decode(32, 16)) for images in (dataset.query, dataset.gallery)
    )
    distances = retrieval.rerank(query, gallery, k1=4, k2=2)
    for formula, column in (("hits", "mAP"), ("trapezoid", "mAP_trapezoid")):
        metrics = retrieval.evaluate(
            None,
            None,
            distances=distances,
            query_ids=dataset.query_labels.identities,
            gallery_ids=dataset.gallery_labels.identities,
            query_cameras=dataset.query_labels.cameras,
            gallery_cameras=dataset.gallery_labels.cameras,
            average_precision=formula,
        )
        assert found["rows"][-1][column] == pytest.approx(metrics.mAP)


def test_by_default_the_json_lies_in_the_run(run_command, trained_run, drawn_folder):
    given = (
        "--dataset=folder",
        f"--data_dir={drawn_folder / 'bounding_box_test'}",
        "--pattern={identity}_c{camera}*.jpg",
    )
    for _ in range(2):  # the second replaces the first
        assert _evaluate(run_command, trained_run, *given)[0] == 0
        [path] = trained_run.directory.glob("evaluation-folder-bounding_box_test-*")
        assert json.loads(path.read_text())["dataset"] == "folder"
        assert list(path.parent.glob(".evaluation*")) == []
    path.unlink()


def test_another_dataset_takes_nothing_of_the_runs_own():
    run = presets.resolve(
        {"dataset": "market1501", "holdout_identities": 5, "limit": 100}
    )
    own = scoring.dataset_config(run, {})
    assert (own.holdout_identities, own.limit) == (5, None)
    other = scoring.dataset_config(run, {"dataset": "duke"})
    assert (other.dataset, other.holdout_identities) == ("duke", None)
    assert scoring.dataset_config(run, {"dataset": "market"}).holdout_identities == 5
    changed = scoring.dataset_config(run, {"holdout_identities": "7"})
    assert changed.holdout_identities == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset=makret1501"], "did you mean 'market1501'"),
        (["--holdout_identities=x"], "give a whole number"),
        (["--average_precision=mean"], "choose from"),
        (["--dataset=duke", "--data_dir=nowhere"], "withdrew DukeMTMC"),
        (["--rerank", "--k1=100000"], "k1=100000"),
        (["--output=tests"], "is a folder"),
    ],
)
def test_evaluate_refuses(run_command, trained_run, monkeypatch, arguments, message):
    from pathlib import Path

    monkeypatch.chdir(Path(__file__).parents[2])
    code, _, err = _evaluate(run_command, trained_run, *arguments)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


def test_without_identities_nothing_is_evaluated(trained_run, drawn_folder):
    network = fgu_jax.load(trained_run.directory)
    images = load_dataset("folder", data_dir=drawn_folder / "query")
    with pytest.raises(InputError, match="no identities"):
        scoring.score(network, images)


def test_the_protocol_says_what_is_left_out():
    from fgu_jax.data import ImageSet, Labels
    from fgu_jax.data.dataset import split_queries
    from fgu_jax.evaluation.judge import protocol

    none = Labels(identities=np.array([1, 1, 2]), cameras=None)
    images = ImageSet(names=tuple("abc"), keys=tuple("abc"), source=None)
    own = split_queries(images, none)[3]
    assert "query itself alone" in protocol(own, ("hits",))
    assert "query itself alone" in protocol(own.take([0, 1]), ("hits",))
    one_each = dataclasses.replace(own, own_cameras=False)
    assert "identity and camera" in protocol(one_each, ("hits",))
    assert "nothing is left out" in protocol(none, ("hits",))
    copies = dataclasses.replace(none, copies=np.array([-1, 0, -1]))
    assert "nothing is left out but files of" in protocol(copies, ("hits",))
    real = Labels(identities=np.array([1, 1, 2]), cameras=np.array([1, 2, 1]))
    both = protocol(real, ("hits", "trapezoid"))
    assert "identity and camera" in both
    assert "trapezoid of 2015" in both
