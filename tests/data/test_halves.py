"""Halves of a dataset's identities, and images of nobody known."""

import pytest
from labelled_images import labelled
from PIL import Image

from fgu_jax.config import presets
from fgu_jax.data import half_of_identities, limit_identities, only_known
from fgu_jax.errors import InputError
from fgu_jax.training.images import read_dataset


def _names(count):
    return [f"{i:04d}_c{c}_{c}.png" for i in range(1, count + 1) for c in (1, 2)]


@pytest.fixture
def folder(tmp_path):
    for name in _names(9):
        Image.new("RGB", (4, 8)).save(tmp_path / name)
    return tmp_path


def _read(folder, **changes):
    given = {
        "dataset": "folder",
        "data_dir": str(folder),
        "pattern": "{identity}_c{camera}_*.png",
    }
    return read_dataset(presets.resolve(given | changes), None)


def _identities(dataset):
    return set(dataset.train_labels.identities.tolist())


def test_halves_are_disjoint_and_together_all(folder):
    whole = _read(folder)
    first = _read(folder, identities="first_half")
    second = _read(folder, identities="second_half")
    assert not _identities(first) & _identities(second)
    assert _identities(first) | _identities(second) == _identities(whole)
    assert (len(_identities(first)), len(_identities(second))) == (4, 5)
    assert sorted(first.train.names + second.train.names) == sorted(whole.train.names)


def test_halves_do_not_depend_on_the_seed_and_the_held_out_are_in_neither(folder):
    found = []
    for seed in (0, 1):
        parts = [
            _read(folder, identities=half, holdout_identities=3, seed=seed)
            for half in ("first_half", "second_half")
        ]
        held = [set(part.query_labels.identities.tolist()) for part in parts]
        assert held[0] == held[1]
        assert len(held[0]) == 3
        people = [_identities(part) for part in parts]
        assert [len(each) for each in people] == [3, 3]
        assert not people[0] & people[1]
        assert not (people[0] | people[1]) & held[0]
        found.append(people)
    assert found[0] == found[1]


def test_a_half_is_cut_before_identities_are_limited(folder):
    half = _read(folder, identities="second_half")
    few = _read(folder, identities="second_half", limit_identities=2)
    assert _identities(few) == _identities(limit_identities(half, 2))


def test_off_by_default_and_in_every_preset():
    for preset in presets.PRESETS:
        assert presets.resolve({"preset": preset}).identities == "all"
    with pytest.raises(InputError, match="choose all or first_half or second_half"):
        presets.resolve({"identities": "half"})


def test_nobody_known_is_left_out(tmp_path):
    known = only_known(labelled(tmp_path, [3, 0, 3, -1, 5]))
    assert sorted(known.train_labels.identities.tolist()) == [3, 3, 5]
    assert (
        len(
            half_of_identities(labelled(tmp_path, [3, 0, 3, -1, 5]), "first_half").train
        )
        < 3
    )


def test_no_labels_and_too_few_are_refused(folder, tmp_path):
    unlabelled = _read(folder, pattern=None)
    with pytest.raises(InputError, match="identities needs identities, and folder has"):
        half_of_identities(unlabelled, "first_half")
    with pytest.raises(InputError, match="pretraining needs identities, and folder"):
        only_known(unlabelled)
    with pytest.raises(InputError, match="has 1 identities, a half needs 2"):
        half_of_identities(labelled(tmp_path, [4, 4]), "first_half")
