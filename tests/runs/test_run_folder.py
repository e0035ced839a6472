"""What may be begun in a folder, what is gone on with, and what is left alone."""

import dataclasses
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from fgu_jax.config import MAY_CHANGE_ON_RESUME, Config
from fgu_jax.errors import InputError, NotWritten
from fgu_jax.inference.trained import read_trained
from fgu_jax.runs import folder as run_folder
from fgu_jax.runs import lock as run_lock
from fgu_jax.runs import record as provenance
from fgu_jax.training import loop


def _config(folder, **changes):
    return Config(workdir=str(folder), **changes)


def _claim(config):
    """Claims the folder as a run does; what was said."""
    said = []
    run_folder.check(config)
    with run_folder.held(config, said.append):
        run_folder.write_config(config)
    return said


def _died_before_its_first_checkpoint(folder, **changes):
    _claim(_config(folder, **changes))
    (folder / "checkpoints" / "6.orbax-checkpoint-tmp").mkdir(parents=True)
    (folder / "tensorboard").mkdir()
    for name in (provenance.NAME, "metrics.jsonl", "timings.jsonl", "run.json.new"):
        (folder / name).write_text("")


def _begun(folder, **changes):
    _died_before_its_first_checkpoint(folder, **changes)
    (folder / "checkpoints" / "3").mkdir()


def _names(folder):
    return {path.name for path in folder.rglob("*")}


def test_looking_writes_nothing(tmp_path):
    run_folder.check(_config(tmp_path / "run"))
    assert not list(tmp_path.iterdir())
    (tmp_path / "run").mkdir()
    run_folder.check(_config(tmp_path / "run"))
    assert not list((tmp_path / "run").iterdir())


def test_a_name_that_checkpoints_cannot_have_is_refused_at_once(tmp_path):
    with pytest.raises(InputError, match=r"workdir .*\\xff is not UTF-8: choose"):
        run_folder.check(_config(tmp_path / "\udcff"))


def test_what_died_before_a_checkpoint_is_started_again_with_any_config(tmp_path):
    _died_before_its_first_checkpoint(tmp_path / "run", temperature=0.2)
    assert _claim(_config(tmp_path / "run", temperature=0.3)) == []
    assert '"temperature": 0.3' in (tmp_path / "run" / "config.json").read_text()


def test_or_resumed_from_the_beginning_which_it_says(tmp_path):
    folder = tmp_path / "run"
    _died_before_its_first_checkpoint(folder, temperature=0.2)
    (line,) = _claim(_config(folder, temperature=0.2, resume=True))
    assert line == f"{folder} holds no checkpoint yet: starting from the beginning"
    with pytest.raises(InputError, match=r"0\.2 -> 0\.3: .* leave --resume out"):
        run_folder.check(_config(folder, temperature=0.3, resume=True))


@pytest.mark.parametrize("left", [[], ["config.json.new"]])
def test_what_died_before_its_config_is_resumed_too(tmp_path, left):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in [run_lock.NAME, *left]:
        (folder / name).write_text("")
    assert "beginning" in _claim(_config(folder, resume=True))[0]


def test_a_run_with_a_checkpoint_wants_resume(tmp_path):
    folder = tmp_path / "run"
    _begun(folder)
    assert run_folder.latest_checkpoint(folder) == 3
    with pytest.raises(InputError, match="holds a run already: add --resume"):
        run_folder.check(_config(folder))
    assert _claim(_config(folder, resume=True, epochs=90)) == []
    with pytest.raises(InputError, match=r"temperature 0\.1 -> 0\.3: give the old"):
        run_folder.check(_config(folder, temperature=0.3, resume=True))


@pytest.mark.parametrize("name", ["thesis.txt", "model.safetensors", "clusters.csv"])
@pytest.mark.parametrize("with_config", [True, False])
def test_a_folder_with_anything_else_is_left_alone(tmp_path, name, with_config):
    folder = tmp_path / "run"
    _died_before_its_first_checkpoint(folder)
    if not with_config:
        (folder / "config.json").unlink()
    (folder / name).write_text("mine")
    before = _names(folder)
    names = f"holds '{name}'" if with_config else "it holds '"
    with pytest.raises(InputError, match=f"not a run .* {names}"):
        run_folder.check(_config(folder))
    assert _names(folder) == before


@pytest.mark.parametrize("name", ["metrics.jsonl", "checkpoints", "tensorboard"])
def test_what_another_program_may_have_written_is_left_alone(tmp_path, name):
    (tmp_path / name).mkdir()
    for resume in (False, True):
        with pytest.raises(InputError, match="not a run|no run"):
            run_folder.check(_config(tmp_path, resume=resume))


def test_a_run_that_has_lost_its_config_is_left_alone(tmp_path):
    _begun(tmp_path / "run")
    (tmp_path / "run" / "config.json").unlink()
    for resume in (False, True):
        with pytest.raises(InputError, match="not a run that can be started"):
            run_folder.check(_config(tmp_path / "run", resume=resume))


def test_somebody_elses_config_is_not_written_over(tmp_path):
    (tmp_path / "config.json").write_text('{"hidden_size": 768}')
    with pytest.raises(InputError, match="hidden_size"):
        run_folder.check(_config(tmp_path))
    assert "hidden_size" in (tmp_path / "config.json").read_text()


def test_a_finished_run_without_its_checkpoints_is_not_begun_anew(tmp_path):
    folder = tmp_path / "run"
    _died_before_its_first_checkpoint(folder)
    (folder / "clusters.csv").write_text("")
    with pytest.raises(InputError, match="finished run without its checkpoints"):
        run_folder.check(_config(folder, resume=True))


def test_places_that_are_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        run_folder.check(_config(tmp_path / "file"))
    with pytest.raises(InputError, match="no run to resume"):
        run_folder.check(_config(tmp_path / "none", resume=True))
    with pytest.raises(NotWritten, match="cannot be written: Not a directory"):
        _claim(_config(tmp_path / "file" / "run"))


def test_a_folder_in_use_is_refused_before_anything_is_read(tmp_path):
    config = _config(tmp_path / "run")
    said = []
    with run_folder.held(config, said.append):
        run_folder.write_config(config)
        with pytest.raises(InputError, match="in use by process"):
            run_folder.check(config)
        with pytest.raises(InputError, match="in use by process"):
            loop.fit(dataclasses.replace(config, batch_size=8), quiet=True)
    assert said == []


def test_a_refused_run_is_simply_started_again(trained_run, tmp_path, capsys):
    """Its weights are missing: known only once the folder is taken."""
    config = dataclasses.replace(trained_run.config, workdir=str(tmp_path / "run"))
    with pytest.raises(InputError, match="nowhere"):
        loop.fit(dataclasses.replace(config, init=str(tmp_path / "nowhere.pth")))
    assert (tmp_path / "run" / "config.json").exists()
    capsys.readouterr()
    again = loop.fit(config)
    assert "another than in the last session" not in capsys.readouterr().out
    for name in ("metrics.jsonl", "clusters.csv"):
        found, expected = again.directory / name, trained_run.directory / name
        assert found.read_bytes() == expected.read_bytes()
    assert len((again.directory / "timings.jsonl").read_text().splitlines()) == 5
    newest = run_folder.latest_checkpoint(again.directory)
    assert read_trained(again.directory).step == newest
    one = read_trained(again.directory / "checkpoints" / "6")
    assert (one.step, one.config) == (6, config)


def test_a_resume_on_other_images_changes_nothing(trained_run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained_run.directory, folder)
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    config = dataclasses.replace(
        trained_run.config, workdir=str(folder), resume=True, epochs=9
    )
    images = np.zeros((30, 32, 16, 3), np.uint8)
    with pytest.raises(InputError, match="other images"):
        loop.fit(config, images, quiet=True)
    before.pop(folder / run_lock.NAME)
    assert all(path.read_bytes() == content for path, content in before.items())


def test_the_page_on_runs_lists_what_a_resume_may_change():
    page = (Path(__file__).parents[2] / "docs" / "runs.md").read_text()
    listed = page.partition("A resume may change")[2].partition("; any other")[0]
    named = set(re.findall(r"`(\w+)`", listed))
    assert named == MAY_CHANGE_ON_RESUME - {"resume"}
