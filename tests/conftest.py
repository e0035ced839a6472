"""Eight simulated devices, and strictness that a user's machine need not have."""

import gc
import importlib.util
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Compiling is most of the suite's time, and half of that LLVM's optimisation; a level
# that is given stays. Programs of their own processes inherit it.
os.environ["XLA_FLAGS"] = " ".join(
    (
        "--xla_backend_optimization_level=0",
        os.environ.get("XLA_FLAGS", ""),
        "--xla_force_host_platform_device_count=8",
    )
)
# Nothing is kept in the cache of whoever runs the tests.
os.environ["FGU_IMAGE_CACHE"] = "none"
# Runs of the same shape compile once for the whole session; the workers of a parallel
# session inherit the folder.
if "FGU_TEST_CACHE" not in os.environ:
    _folder = tempfile.TemporaryDirectory(prefix="fgu-compiled-")
    os.environ["FGU_TEST_CACHE"] = _folder.name

import jax
import pytest
from search_folders import HOSTILE, color_of, paint
from small_folders import MARKET, fill
from small_run import SMALL_RUN

# Commands of their own.
collect_ignore_glob = ["fuzz/*", "mutation/*"]

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_compilation_cache_dir", os.environ["FGU_TEST_CACHE"])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """The tests of a file go to one worker, so that what they share is made once."""
    from xdist.scheduler import LoadFileScheduling

    return LoadFileScheduling(config, log)


@pytest.fixture(scope="session")
def drawn_folder(tmp_path_factory):
    """A dataset of drawn pedestrians in Market-1501's layout."""
    from fgu_jax.data import Settings
    from fgu_jax.data.synthetic.write import write_synthetic

    settings = Settings(
        train_identities=6, test_identities=4, cameras=2, distractors=2, junk=1
    )
    return write_synthetic(settings, tmp_path_factory.mktemp("drawn"), None)


@pytest.fixture(scope="session")
def trained_run(drawn_folder, tmp_path_factory):
    """A finished run on ``drawn_folder``; not to be written to."""
    from fgu_jax.config import presets
    from fgu_jax.training import loop

    folder = tmp_path_factory.mktemp("trained") / "run"
    given = {
        "dataset": "market1501",
        "data_dir": str(drawn_folder),
        "workdir": str(folder),
    }
    return loop.fit(presets.resolve(SMALL_RUN | given), quiet=True)


@pytest.fixture
def small_heap():
    """A refusal of a checkpoint collects garbage: not of what is there by now."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def small_disk(tmp_path):
    """A filesystem of 40 MiB, where mounting one is permitted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode
    except OSError:
        mounted = 1
    if mounted != 0:
        pytest.skip("no filesystem can be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture
def run_command(capsys):
    """Runs ``experiments/NAME.py`` in this process: exit code, stdout, stderr."""

    def run(name, *arguments):
        path = Path(__file__).parent.parent / "experiments" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(f"experiments_{name}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            module.main(
                getattr(module, name), module.parser(), list(map(str, arguments))
            )
        said = capsys.readouterr()
        return left.value.code, said.out, said.err

    return run


@pytest.fixture
def folders(tmp_path):
    """A folder of nine images with hostile names, and one of three queries."""
    for row, name in enumerate(HOSTILE):
        below = tmp_path / "gallery" / "sub" if row % 2 else tmp_path / "gallery"
        paint(below / name, color_of(row))
    for row in (0, 4, 8):
        r, g, b = color_of(row)
        paint(tmp_path / "query" / f"q{row}.png", (r, g, b + 2))
    (tmp_path / "gallery" / "notes.txt").write_text("not a picture")
    return tmp_path


@pytest.fixture(scope="module")
def photos(drawn_folder, tmp_path_factory):
    """A tree of 24 pictures, in two folders."""
    root = tmp_path_factory.mktemp("photos")
    shutil.copytree(drawn_folder / "bounding_box_train", root / "some")
    (root / "more é").mkdir()
    for path in sorted((root / "some").iterdir())[:5]:
        path.rename(root / "more é" / path.name)
    return root


@pytest.fixture(scope="module")
def network(trained_run):
    from fgu_jax.inference.embedder import load

    return load(trained_run.directory)


@pytest.fixture
def market(tmp_path):
    root = fill(tmp_path / "Market-1501-v15.09.15", MARKET)
    (root / "bounding_box_test" / "Thumbs.db").write_bytes(b"x")
    return tmp_path
