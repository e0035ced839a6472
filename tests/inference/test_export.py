"""An exported folder: the same features, by fgu_jax.load and by JAX alone."""

import json
import shutil
import subprocess
import sys
import zlib

import jax
import numpy as np
import pytest

import fgu_jax
from fgu_jax.config import presets
from fgu_jax.errors import InputError
from fgu_jax.inference import export as exporting
from fgu_jax.inference.network import variable_shapes
from fgu_jax.inference.trained import Trained, read_run, read_trained

# What docs/export.md shows, in a process that has JAX and NumPy but not this package.
ALONE = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("fgu_jax", "flax", "orbax"):
            raise ImportError(name)

sys.meta_path.insert(0, Blocked())
import numpy as np
from jax import export

program = export.deserialize(open(sys.argv[1], "rb").read())
images = np.load(sys.argv[2])
for count in (1, 5, len(images)):
    features = np.asarray(program.call(images[:count]))
    assert features.shape == (count, program.out_avals[0].shape[1]), features.shape
np.save(sys.argv[3], features)
assert not any(name.startswith("fgu_jax") for name in sys.modules)
"""


@pytest.fixture(scope="module")
def exported(trained_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "exported"
    exporting.export(trained_run.directory, folder)
    return folder


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (9, 32, 16, 3), np.uint8)


def test_load_takes_the_folder(trained_run, exported, images):
    run, export = fgu_jax.load(trained_run.directory), fgu_jax.load(exported)
    for part in ("global", "local", "fused"):
        np.testing.assert_array_equal(run(images, part=part), export(images, part=part))
    assert export.identity == run.identity
    assert export.step == run.step == 12


def test_a_process_without_the_package_runs_the_program(
    trained_run, exported, images, tmp_path
):
    np.save(tmp_path / "images.npy", images)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            ALONE,
            str(exported / "features.stablehlo"),
            str(tmp_path / "images.npy"),
            str(tmp_path / "features.npy"),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    found = np.load(tmp_path / "features.npy")
    expected = fgu_jax.load(trained_run.directory)(images)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_the_record_says_what_is_there(exported):
    record = json.loads((exported / "export.json").read_text())
    assert record["platforms"] == ["cpu", "cuda", "tpu"]
    assert record["input"] == "uint8 [b, 32, 16, 3], RGB"
    assert record["output"] == "float32 [b, 32], rows of length 1"
    program = jax.export.deserialize((exported / record["program"]).read_bytes())
    assert program.platforms == ("cpu", "cuda", "tpu")
    assert str(program.in_avals[0].shape) == "(b, 32, 16, 3)"
    data = (exported / record["program"]).read_bytes()
    assert record["digests"][record["program"]] == f"{zlib.crc32(data):08x}"
    assert {path.name for path in exported.iterdir()} == {
        "config.json",
        "export.json",
        "features.stablehlo",
        "network",
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"patch_generator": "affine", "neck": True},
        {"backbone": "resnet18", "precision": "bfloat16"},
        {"backbone": "efficientnet_lite0"},
    ],
)
def test_every_network_has_a_program_for_any_batch(changes):
    given = {"image_height": 32, "image_width": 16, "num_patches": 2, "patch_dim": 8}
    config = presets.resolve(given | changes)
    variables = jax.tree.map(
        lambda x: np.zeros(x.shape, x.dtype), variable_shapes(config)
    )
    program = exporting.features_program(Trained(config, variables, 0))
    assert str(program.in_avals[0].shape) == "(b, 32, 16, 3)"
    assert program.out_avals[0].dtype == np.float32
    assert program.platforms == exporting.PLATFORMS


def test_an_export_is_the_start_of_a_run(exported, trained_run):
    from fgu_jax.networks.weights import load_initial

    config, trained = read_run(trained_run.directory)
    variables, report = load_initial(
        str(exported),
        config.backbone,
        jax.tree.map(np.zeros_like, trained),
        read_checkpoint=lambda path: read_run(path)[1],
    )
    assert report.missing == ()
    jax.tree.map(np.testing.assert_array_equal, variables, trained)


def test_export_replaces_its_own_only_and_only_if_asked(
    run_command, trained_run, exported, tmp_path
):
    def run(output, *arguments):
        return run_command(
            "export",
            f"--checkpoint={trained_run.directory}",
            f"--output={output}",
            *arguments,
        )

    shutil.copytree(exported, tmp_path / "earlier")
    (tmp_path / "earlier" / "features.stablehlo").write_bytes(b"old")
    code, _, err = run(tmp_path / "earlier")
    assert code == 2
    assert "--overwrite" in err
    code, out, _ = run(tmp_path / "earlier", "--overwrite")
    assert code == 0
    assert "uint8 [b, 32, 16, 3]" in out
    new = (tmp_path / "earlier" / "features.stablehlo").read_bytes()
    assert jax.export.deserialize(new).platforms == ("cpu", "cuda", "tpu")

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    code, _, err = run(tmp_path / "mine", "--overwrite")
    assert code == 2
    assert "holds other files" in err
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "precious"
    for place in ("mine/thesis.txt", "mine/thesis.txt/export"):
        code, _, err = run(tmp_path / place, "--overwrite")
        assert (code, err.count("\n")) == (2, 1)
    assert {path.name for path in tmp_path.iterdir()} == {"earlier", "mine"}


def test_whatever_else_lies_in_an_export_is_not_removed(exported, tmp_path):
    folder = tmp_path / "earlier"
    shutil.copytree(exported, folder)
    for name in ("labels.json", "search_cache.sqlite", "search_cache.sqlite-wal"):
        (folder / name).write_text("")
    assert exporting.is_export(folder)
    (folder / "evaluation.json").write_text("precious")
    assert not exporting.is_export(folder)
    with pytest.raises(InputError, match="holds other files: choose another"):
        exporting.export(tmp_path / "no run", folder, overwrite=True)
    assert (folder / "evaluation.json").read_text() == "precious"
    (folder / "evaluation.json").unlink()
    (folder / "export.json").unlink()
    assert not exporting.is_export(folder)


def test_what_fails_half_way_leaves_nothing(trained_run, tmp_path, monkeypatch):
    def fail(folder, variables):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting, "save_network", fail)
    with pytest.raises(InputError, match="No space left"):
        exporting.export(trained_run.directory, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ('{"format": 2, "step": 1}', "format 2, this version of fgu_jax reads 1"),
        ('{"format": 1}', "damaged"),
        ("[]", "damaged"),
        ("{", "damaged"),
        ('{"format": 1, "step": 1, "digests": []}', "damaged"),
        ('{"format": 1, "step": 1, "digests": {}}', "is not what was exported"),
    ],
)
def test_an_export_of_another_version_is_refused(exported, tmp_path, record, message):
    shutil.copytree(exported, tmp_path / "other")
    (tmp_path / "other" / "export.json").write_text(record)
    with pytest.raises(InputError, match=message):
        fgu_jax.load(tmp_path / "other")


def test_an_export_that_is_cut_short_is_refused(exported, tmp_path):
    folder = tmp_path / "cut"
    shutil.copytree(exported, folder)
    files = [path for path in (folder / "network").rglob("*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:1000])
    with pytest.raises(InputError, match="damaged or cut short"):
        fgu_jax.load(folder)


def test_a_flipped_byte_is_refused_or_not_needed(exported, tmp_path):
    folder = tmp_path / "spoilt"
    shutil.copytree(exported, folder)
    whole = read_trained(folder).variables
    files = [path for path in (folder / "network").rglob("*") if path.is_file()]
    path = max(files, key=lambda path: path.stat().st_size)
    data = path.read_bytes()
    named = 0
    for place in np.linspace(0.1, 0.9, 6) * len(data):
        spoilt = bytearray(data)
        spoilt[int(place)] ^= 4
        path.write_bytes(spoilt)
        try:
            found = read_trained(folder).variables
        except InputError as error:
            line = str(error)
            named += "is not what was exported" in line and "\n" not in line
        else:
            jax.tree.map(np.testing.assert_array_equal, found, whole)
    assert named


def test_an_export_without_digests_is_read(exported, tmp_path):
    folder = tmp_path / "earlier"
    shutil.copytree(exported, folder)
    record = json.loads((folder / "export.json").read_text())
    del record["digests"]
    (folder / "export.json").write_text(json.dumps(record))
    with pytest.warns(UserWarning, match="without digests: it is read unverified"):
        found = read_trained(folder)
    assert found.step == record["step"]
