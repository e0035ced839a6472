"""What is said before the first epoch of what would show only at a later one."""

import pytest

from fgu_jax.config import Config, presets
from fgu_jax.errors import InputError
from fgu_jax.parallel import machine
from fgu_jax.training import checks

MANY = 40_000  # a matrix of 11.92 GiB


@pytest.fixture
def small_machine(monkeypatch):
    monkeypatch.setattr(machine, "free_memory", lambda: 2**30)


@pytest.mark.parametrize(
    "changes",
    [
        {"merge_criterion": "average"},
        {"size_penalty": 0.01},
        {"preset": "tuned-2026-11"},
        {"merge_criterion": "average", "merge_start": 0, "merge_stop": 0},
    ],
)
def test_a_matrix_that_does_not_fit_is_refused_at_the_start(small_machine, changes):
    line = (
        "holds a C x C matrix, 11.92 GiB for 40,000 clusters, and 1.00 GiB are there: "
        "use 'min' without a size penalty"
    )
    config = presets.resolve({"preset": "quick-2026-11"} | changes)
    with pytest.raises(InputError, match=line):
        checks.validate_with_data(config, MANY)
    checks.validate_with_data(config, 2_000)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"preset": "tuned-2026-11", "size_penalty": 0},
        {"merge_criterion": "average", "merge_fraction": 0},
        {"merge_criterion": "average", "epochs": 7},  # ends before a merge
        {"merge_criterion": "average", "resume": True},  # may have merged already
        {"method": "pul"},
    ],
)
def test_no_matrix_is_asked_for_where_none_is_held(small_machine, changes):
    config = presets.resolve({"preset": "quick-2026-11"} | changes)
    checks.validate_with_data(config, MANY)


FROM_THE_START = {"merge_start": 0, "merge_every": 1, "merge_stop": 100}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"epochs": 19},
            "20 merges of 5 clusters leave fewer than 2 of 100: use a merge_fraction "
            "below 0.0495",
        ),
        (
            {"merge_stop": 0, "merge_fraction": 0.001},
            "merge_fraction 0.001 of 100 images is less than one cluster a merge: use "
            "0.01 or more, or 0",
        ),
        (
            {"epochs": 0, "merge_fraction": 1.0},
            "1 merges of 100 clusters leave fewer than 2 of 100",
        ),
    ],
)
def test_the_merge_before_the_first_epoch_counts(changes, said):
    small = FROM_THE_START | {"batch_size": 10, "num_neighbors": 3}
    with pytest.raises(InputError, match=said):
        checks.validate_with_data(Config(**small | changes), 100)


def test_as_many_merges_as_leave_two_clusters_are_taken():
    small = FROM_THE_START | {"batch_size": 10, "num_neighbors": 3}
    checks.validate_with_data(Config(**small, epochs=18), 100)
    checks.validate_with_data(Config(**small, epochs=19, merge_fraction=0.049), 100)
    checks.validate_with_data(Config(**small, epochs=99, merge_fraction=0.0), 100)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epochs": 5}, "no clusters will merge: epochs is 5, merge_start 8"),
        (
            {"merge_stop": 6},
            "no clusters will merge: merge_start 8 is after merge_stop 6",
        ),
        ({"epochs": 8}, None),
        ({"epochs": 0}, None),  # nothing is to be learnt
        ({"epochs": 5, "merge_fraction": 0}, None),
        ({"epochs": 5, "method": "paul"}, None),
        ({"epochs": 5, "method": "pul"}, None),
        ({"epochs": 5, "global_weight": 0}, None),
    ],
)
def test_a_run_that_will_never_merge_is_told_of(changes, said):
    assert (
        checks.never_merges(presets.resolve({"preset": "quick-2026-11"} | changes))
        == said
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"learning_rate": 0.0}, "learning_rate is 0: no weight will change"),
        ({"learning_rate": 0.0, "head_learning_rate": 0.1}, None),
        ({"learning_rate": 0.0, "method": "supervised"}, "learning_rate is 0"),
        ({"learning_rate": 0.0, "epochs": 0}, None),
        ({"memory_rate": 0.0}, "memory_rate is 0: rows of V stay as they are"),
        ({"memory_rate": 0.0, "method": "paul"}, None),
        ({}, None),
    ],
)
def test_rates_of_zero_are_told_of(changes, said):
    config = presets.resolve({"preset": "quick", "dataset": "synthetic"} | changes)
    lines = [line for line in checks.doubts(config, 1000) if line]
    if said is None:
        assert not lines
    else:
        assert [line.startswith(said) for line in lines] == [True]
