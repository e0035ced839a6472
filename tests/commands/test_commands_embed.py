"""embed.py: any folder, the same features, nothing lost silently."""

import json
import os
import shutil

import numpy as np
import pytest

from fgu_jax.data import load_dataset
from fgu_jax.inference.folder import embed_folder, read_folder


def _embed(run_command, trained_run, *arguments):
    return run_command("embed", f"--checkpoint={trained_run.directory}", *arguments)


def test_embed_writes_names_features_and_the_runs_identity(
    run_command, trained_run, network, photos, tmp_path
):
    output = tmp_path / "new folder" / "features.npz"
    code, out, err = _embed(
        run_command, trained_run, f"--images={photos}", f"--output={output}"
    )
    assert (code, err) == (0, "")
    assert "24 images, 32 numbers" in out
    assert list(output.parent.iterdir()) == [output]
    with np.load(output) as found:  # nothing pickled
        names, features = found["names"], found["features"]
        run = json.loads(str(found["run"]))
    images = load_dataset("folder", data_dir=photos).train
    assert tuple(names.tolist()) == images.names
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features, network(images.decode(32, 16)))
    assert run["identity"] == network.identity
    assert run["step"] == 4 * (24 // 8)
    assert run["config"]["backbone"] == "resnet_micro"


def test_features_depend_on_nothing_but_the_image(network, photos, tmp_path):
    whole = embed_folder(network, read_folder(photos))
    by_name = dict(zip(whole.names, whole.features, strict=True))
    for count, kept in enumerate([1, 2, 7, 23]):
        folder = tmp_path / str(count)
        rows = np.random.default_rng(count).permutation(len(whole.names))[:kept]
        for row in rows:
            name = whole.names[row]
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(photos / name, folder / name)
        found = embed_folder(network, read_folder(folder))
        for name, feature in zip(found.names, found.features, strict=True):
            np.testing.assert_array_equal(feature, by_name[name])


def test_any_number_at_once_gives_the_same_bits(network):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (70, 32, 16, 3), np.uint8)
    whole = network(images)
    order = rng.permutation(70)
    np.testing.assert_array_equal(network(images[order]), whole[order])
    for start, stop in [(0, 1), (69, 70), (0, 63), (1, 65), (3, 68)]:
        np.testing.assert_array_equal(network(images[start:stop]), whole[start:stop])


def test_streamed_and_decoded_images_give_the_same_bits(network, photos):
    images = load_dataset("folder", data_dir=photos).train
    many = images.take([*range(24)] * 8)  # three blocks
    whole = network.of_set(many, stream="never")
    seen = []
    streamed = network.of_set(
        many, ("fused",), stream="always", progress=lambda *args: seen.append(args)
    )
    assert list(streamed) == ["fused"]
    np.testing.assert_array_equal(streamed["fused"], whole["fused"])
    np.testing.assert_array_equal(streamed["fused"], network(many.decode(32, 16)))
    assert seen == [(done, 192, "features") for done in (64, 128, 192)]


def _spoil(folder):
    good = sorted(folder.rglob("*.jpg"))
    (folder / "cut.jpg").write_bytes(good[0].read_bytes()[:300])
    (folder / "empty.png").write_bytes(b"")
    with open(os.path.join(os.fsencode(folder), b"caf\xe9.jpg"), "wb") as file:
        file.write(good[1].read_bytes())


def test_unreadable_images_are_named_and_left_out_only_if_asked(
    run_command, trained_run, photos, tmp_path
):
    shutil.copytree(photos, tmp_path / "photos")
    _spoil(tmp_path / "photos")
    given = (f"--images={tmp_path / 'photos'}", f"--output={tmp_path / 'f.npz'}")
    code, _, err = _embed(run_command, trained_run, *given)
    assert code == 2
    assert err.count("\n") == 1
    assert "2 of 27 images cannot be read" in err
    assert "cut.jpg" in err
    assert "empty.png" in err
    assert not (tmp_path / "f.npz").exists()
    code, out, _ = _embed(run_command, trained_run, *given, "--skip_bad")
    assert code == 0
    assert "cut.jpg" in out
    with np.load(tmp_path / "f.npz") as found:
        assert len(found["names"]) == len(found["features"]) == 25
        assert "caf\udce9.jpg" in found["names"]


def test_an_output_is_replaced_only_if_asked(
    run_command, trained_run, photos, tmp_path
):
    output = tmp_path / "f.npz"
    output.write_text("precious")
    given = (f"--images={photos}", f"--output={output}")
    code, _, err = _embed(run_command, trained_run, *given)
    assert (code, output.read_text()) == (2, "precious")
    assert "--overwrite" in err
    assert _embed(run_command, trained_run, *given, "--overwrite")[0] == 0
    assert np.load(output)["features"].shape == (24, 32)


@pytest.mark.parametrize(
    ("images", "output", "message"),
    [
        ("nowhere", "f.npz", "not a folder"),
        ("none", "f.npz", "no images in it"),
        ("none", "none", "is a folder: name a file"),
        ("none", "file/f.npz", "cannot be written"),
    ],
)
def test_folders_that_cannot_be_used(
    run_command, trained_run, tmp_path, images, output, message
):
    (tmp_path / "none").mkdir()
    (tmp_path / "file").write_text("")
    code, _, err = _embed(
        run_command,
        trained_run,
        f"--images={tmp_path / images}",
        f"--output={tmp_path / output}",
    )
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


def test_a_misspelt_flag_is_told_before_what_is_missing_without_it(run_command):
    code, _, err = run_command("embed", "--image=photos", "--output=f.npz")
    assert code == 2
    assert err.endswith("unknown field --image: did you mean --images?\n")


def test_a_folder_is_looked_at_before_weights_are_asked_for(run_command, tmp_path):
    given = ("--backbone=dinov2_vits14", "--init=/nowhere/weights.safetensors")
    code, _, err = run_command(
        "embed", *given, f"--images={tmp_path / 'no'}", f"--output={tmp_path / 'f.npz'}"
    )
    assert code == 2
    assert "is not a folder: name one" in err
