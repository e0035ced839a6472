"""Commands that read large pictures decode them once, and say so."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fgu_jax.commands.image_cache import keep_decoded
from fgu_jax.data.decoded import once
from fgu_jax.errors import InputError

COUNT = 20


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("large") / "photos"
    folder.mkdir()
    drawn = np.random.default_rng(0)
    for row in range(COUNT):
        pixels = drawn.integers(0, 256, (150, 160, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{row // 2}_c{row % 2}.png")
    return folder


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A user's cache that no other test has."""
    monkeypatch.delenv("FGU_IMAGE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "fgu_jax" / "images"


def embed(run_command, trained_run, large, output, *more):
    return run_command(
        "embed",
        f"--checkpoint={trained_run.directory}",
        f"--images={large}",
        f"--output={output}",
        "--overwrite",
        *more,
    )


def told(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith("decoded images")]


def test_commands_share_what_was_decoded(
    run_command, trained_run, large, home, tmp_path, monkeypatch
):
    files = [tmp_path / f"{k}.npz" for k in range(3)]
    code, said, _ = embed(run_command, trained_run, large, files[0], "--skip_bad")
    assert code == 0
    # Looked through for bad ones, of another size, and decoded.
    assert told(said) == [
        f"decoded images: 0 of {2 * COUNT} from the cache in {home}, "
        f"{2 * COUNT} decoded anew"
    ]
    assert home.stat().st_mode & 0o777 == home.parent.stat().st_mode & 0o777 == 0o700
    every = f"{COUNT} of {COUNT} from the cache in {home}, 0 decoded anew"
    _, said, _ = embed(run_command, trained_run, large, files[1])
    assert told(said) == [f"decoded images: {every}"]
    _, said, _ = embed(run_command, trained_run, large, files[2], "--image_cache=none")
    assert told(said) == []
    features = [np.load(file)["features"] for file in files]
    np.testing.assert_array_equal(features[0], features[1])
    np.testing.assert_array_equal(features[0], features[2])
    checkpoint = f"--checkpoint={trained_run.directory}"
    for name, *arguments in (
        ("cluster", f"--images={large}", f"--output={tmp_path / 'clusters.csv'}"),
        (
            "search",
            *(f"--query={large}", f"--gallery={large}"),
            *(f"--output={tmp_path / 'found'}", "--cache=none"),
        ),
        (
            "evaluate",
            *("--dataset=folder", f"--data_dir={large}"),
            *("--pattern={identity}_c{camera}.png", f"--output={tmp_path / 'e.json'}"),
        ),
    ):
        code, said, error = run_command(name, checkpoint, *arguments)
        assert code == 0, error
        assert ", 0 decoded anew" in said, (name, said)
    assert json.loads((tmp_path / "e.json").read_text())


def test_training_finds_what_embedding_decoded(
    run_command, trained_run, large, home, tmp_path
):
    from small_run import SMALL_RUN

    cache = f"--image_cache={tmp_path / 'chosen'}"
    embed(run_command, trained_run, large, tmp_path / "f.npz", cache)
    code, said, error = run_command(
        "train",
        *(f"--{k}={v}" for k, v in SMALL_RUN.items()),
        *("--dataset=folder", f"--data_dir={large}", f"--workdir={tmp_path / 'run'}"),
        cache,
    )
    assert code == 0, error
    assert ", 0 decoded anew" in said, said
    assert not home.exists()


def test_a_cache_that_is_not_trusted_is_told(
    run_command, trained_run, large, tmp_path, home
):
    chosen = tmp_path / "open"
    chosen.mkdir()
    chosen.chmod(0o777)
    code, said, _ = embed(
        run_command,
        *(trained_run, large, tmp_path / "f.npz", f"--image_cache={chosen}"),
    )
    assert code == 0
    assert "  the cache is not used: others may write to its folder" in said
    assert list(chosen.iterdir()) == []
    home.parent.mkdir(mode=0o777)
    home.parent.chmod(0o777)
    _, said, _ = embed(run_command, trained_run, large, tmp_path / "f.npz")
    assert "  the cache is not used: others may write to its folder" in said


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--image_cache=/dev/null/x"], "give a folder or 'none'"),
        (["--image_cache_gib=0"], "image_cache_gib is 0: give more than 0"),
        (["--image_cache_gib=nan"], "image_cache_gib is nan: give more than 0"),
        (["--image_cache_gib=inf"], "image_cache_gib is inf: give more than 0"),
    ],
)
def test_what_cannot_be_is_refused(
    run_command, trained_run, large, tmp_path, flags, told
):
    output = tmp_path / "f.npz"
    code, _, error = embed(run_command, trained_run, large, output, *flags)
    assert code == 2
    assert told in error
    assert error.count("\n") == 1


def test_the_choice_of_a_user(tmp_path, monkeypatch, home):
    def chosen(choice):
        with keep_decoded(choice, None):
            return once._in_use and once._in_use.folder

    assert chosen(None) == home
    assert not home.exists()
    assert chosen("none") is None
    assert chosen(str(tmp_path / "a")) == tmp_path / "a"
    monkeypatch.setenv("FGU_IMAGE_CACHE", str(tmp_path / "b"))
    assert chosen(None) == tmp_path / "b"
    assert chosen(str(tmp_path / "a")) == tmp_path / "a"
    monkeypatch.setenv("FGU_IMAGE_CACHE", "none")
    assert chosen(None) is None
    assert chosen(str(tmp_path / "a")) == tmp_path / "a"
    monkeypatch.delenv("FGU_IMAGE_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", _no_home)
    assert chosen(None) is None
    assert once._in_use is None


def _no_home():
    raise RuntimeError("Could not determine home directory.")


def test_a_run_that_is_stopped_keeps_what_it_decoded(large, tmp_path):
    def stopped():
        with keep_decoded(str(tmp_path / "c"), None):
            for path in large.iterdir():
                once.decode_once(path.read_bytes(), 8, 4)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert len(os.listdir(tmp_path / "c")) == 1


def test_nothing_of_jax_is_loaded():
    """The cache is for whoever decodes; what prints alone knows of processes."""
    import subprocess
    import sys

    code = "import sys, fgu_jax.commands.image_cache\nassert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_disabled_cache_is_an_input_error_only_where_it_was_named(tmp_path, home):
    home.parent.parent.mkdir(exist_ok=True)
    home.parent.touch()
    with keep_decoded(None, None):
        pass
    with pytest.raises(InputError), keep_decoded(str(home), None):
        pass
