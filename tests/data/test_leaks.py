"""The check that the order of rows tells nothing of identities."""

import json

import numpy as np
import pytest
from small_run import SMALL_RUN

from fgu_jax.config import presets
from fgu_jax.data import Settings, leaks, load_dataset
from fgu_jax.data.images import row_order
from fgu_jax.errors import InputError
from fgu_jax.training import loop

FILES = [f"{identity:04d}_c{k}.jpg" for identity in range(200) for k in range(10)]


def in_rows(names):
    return [names[k] for k in row_order(names)]


def identities(names):
    return np.array([int(name[:4]) for name in names])


def test_rows_by_hash_tell_nothing():
    names = in_rows(FILES)
    seen = leaks.check(names, identities(names))
    assert seen.rows_by_name
    assert 0.001 < seen.chance < 0.999
    assert seen.warning is None
    # p = 200 * 10 * 9 / (2000 * 1999), over 1999 pairs: 9.
    assert seen.by_chance == pytest.approx(9.0, abs=0.01)


def test_rows_in_the_order_of_files_are_seen():
    seen = leaks.check(FILES, identities(FILES))
    assert not seen.rows_by_name
    assert seen.neighbors_alike == 200 * 9
    assert "rows depend on the order" in seen.warning
    # By its hash each name is where it should be, and yet the order tells identities.
    names = in_rows(FILES)
    seen = leaks.check(names, np.sort(identities(names)))
    assert seen.rows_by_name
    assert "adjacent rows show the same identity, by chance 9" in seen.warning


@pytest.mark.parametrize("size", [2, 10, 60, 300])
def test_one_pair_that_happens_to_be_adjacent_is_no_leak(size):
    # One random order in size / 2 has it so, though it is 12 deviations above 0.007.
    names = in_rows(FILES[:size])
    alone = np.arange(size) + 1
    alone[1] = alone[0]
    seen = leaks.check(names, alone)
    assert seen.neighbors_alike == 1
    assert seen.warning is None
    mean = 2 / size
    exact = 1 - (1 - mean / (size - 1)) ** (size - 1)
    assert seen.chance == pytest.approx(exact, rel=0.01)


def test_small_sets_in_the_order_of_files_are_still_seen():
    names = in_rows(FILES[:60])
    seen = leaks.check(names, np.repeat(np.arange(6), 10))
    assert seen.neighbors_alike == 54
    assert seen.chance < 1e-30
    assert "by chance 9" in seen.warning


def test_the_chance_is_that_of_random_orders():
    rng = np.random.default_rng(0)
    names = in_rows(FILES[:40])
    people = np.repeat(np.arange(10), 4)
    found = [leaks.check(names, rng.permutation(people)) for _ in range(2000)]
    for level in (0.5, 0.1, 0.01):
        # As often as it says, or a little less: a count has steps.
        often = np.mean([seen.chance <= level for seen in found])
        assert often <= level + 4 * np.sqrt(level / 2000)
    (seven,) = {seen.chance for seen in found if seen.neighbors_alike == 7}
    often = np.mean([seen.neighbors_alike >= 7 for seen in found])
    assert often == pytest.approx(seven, abs=0.012)


def test_unknown_images_are_like_no_other():
    names = in_rows(FILES)
    seen = leaks.check(names, np.full(len(names), -1))
    assert (seen.neighbors_alike, seen.by_chance, seen.chance) == (0, 0.0, 1.0)
    assert leaks.check(names, None).chance is None
    with pytest.raises(InputError, match=r"identities are \[3\] for 2000 names"):
        leaks.check(names, [1, 2, 3])


def test_a_run_keeps_what_was_seen(tmp_path):
    settings = Settings(train_identities=4, test_identities=3, distractors=0, junk=0)
    data = load_dataset("synthetic", data_dir=tmp_path / "data", settings=settings)
    config = presets.resolve(
        SMALL_RUN | {"workdir": str(tmp_path / "run"), "epochs": 0, "merge_fraction": 0}
    )
    loop.fit(config, data, quiet=True)
    session = json.loads((tmp_path / "run" / "run.json").read_text())["sessions"][0]
    assert session["leak_check"]["rows_by_name"] is True
    assert session["leak_check"]["neighbors_alike"] >= 0
