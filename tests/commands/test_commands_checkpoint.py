"""Checkpoints that cannot be used: one line that says which and why, no traceback."""

import json
import shutil

import jax
import numpy as np
import pytest

import fgu_jax
from fgu_jax.errors import InputError
from fgu_jax.inference.trained import read_run


@pytest.fixture
def copied(trained_run, tmp_path):
    """A copy of the run, and the folder of its newest network."""
    folder = tmp_path / "run"
    shutil.copytree(trained_run.directory, folder)
    newest = max(int(path.name) for path in (folder / "checkpoints").iterdir())
    return folder, folder / "checkpoints" / str(newest) / "network"


def _change_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _export(run_command, folder, tmp_path):
    return run_command(
        "export", f"--checkpoint={folder}", f"--output={tmp_path / 'exported'}"
    )


def _data_files(network):
    files = [path for path in network.rglob("*") if path.is_file()]
    return sorted(files, key=lambda path: path.stat().st_size)


@pytest.mark.parametrize("kept", [0, 1000, None])
def test_a_checkpoint_that_is_cut_short(run_command, copied, tmp_path, kept):
    folder, network = copied
    largest = _data_files(network)[-1]
    whole = largest.read_bytes()
    if kept is None:
        largest.unlink()
    else:
        largest.write_bytes(whole[:kept])
    code, out, err = _export(run_command, folder, tmp_path)
    assert (code, out) == (2, "")
    assert "checkpoint 12 in" in err
    assert "damaged or cut short" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "exported").exists()


@pytest.mark.usefixtures("small_heap")
def test_any_file_cut_to_half_is_refused_or_not_needed(copied, trained_run):
    folder, network = copied
    expected = read_run(trained_run.directory)[1]
    refused = 0
    for path in _data_files(network):
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        try:
            found = read_run(folder)[1]
        except InputError:
            refused += 1
        else:
            jax.tree.map(np.testing.assert_array_equal, found, expected)
        path.write_bytes(whole)
    assert refused >= 3
    read_run(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": "resnet18"}, r"is \[8\], expected \[64\]"),
        ({"backbone": "efficientnet_lite0"}, "expected"),
        ({"neck": True}, r"neck/mean is not there, expected \[16\]"),
        ({"patch_dim": 16}, r"patch_heads/bn/mean is \[2, 8\], expected \[2, 16\]"),
        ({"num_patches": 4}, "patch_heads"),
        ({"backbone": "resnet51"}, "resnet51"),
        ({"momentun": 0.9}, "unknown field 'momentun'"),
        ({"epochs": "many"}, "epochs"),
    ],
)
def test_a_checkpoint_of_another_network_or_version(copied, changes, message):
    folder, _ = copied
    _change_config(folder, **changes)
    with pytest.raises(InputError, match=message) as raised:
        fgu_jax.load(folder)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: shutil.rmtree(folder / "checkpoints"), "checkpoint"),
        (lambda folder: (folder / "config.json").unlink(), "is missing"),
        (lambda folder: (folder / "config.json").write_text("{"), "is not JSON"),
        (lambda folder: shutil.rmtree(folder), "is missing"),
    ],
)
def test_a_folder_that_is_no_run(run_command, copied, tmp_path, spoil, message):
    folder, _ = copied
    spoil(folder)
    code, _, err = _export(run_command, folder, tmp_path)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


def test_without_the_newest_checkpoint_the_one_before_serves(copied):
    folder, network = copied
    shutil.rmtree(network.parent)
    assert fgu_jax.load(folder).step == 6
