"""The check that the order of rows tells nothing of identities."""

import json

import numpy as np
import pytest
from small_run import SMALL_RUN

from fgu_jax import leaks, loop, presets
from fgu_jax.data import Settings, load_dataset
from fgu_jax.data.images import row_order
from fgu_jax.errors import InputError

FILES = [f"{identity:04d}_c{k}.jpg" for identity in range(200) for k in range(10)]


def in_rows(names):
    return [names[k] for k in row_order(names)]


def identities(names):
    return np.array([int(name[:4]) for name in names])


def test_rows_by_hash_tell_nothing():
    names = in_rows(FILES)
    seen = leaks.check(names, identities(names))
    assert seen.rows_by_name
    assert abs(seen.sigmas) < 4
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


def test_unknown_images_are_like_no_other():
    names = in_rows(FILES)
    seen = leaks.check(names, np.full(len(names), -1))
    assert (seen.neighbors_alike, seen.by_chance, seen.sigmas) == (0, 0.0, 0.0)
    assert leaks.check(names, None).sigmas is None
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
