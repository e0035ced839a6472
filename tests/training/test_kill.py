"""SIGKILL at any moment: the resumed run ends bit for bit as the one left alone."""

import os
import random
import shutil

import pytest
from killed_runs import Training, _newest, assert_same_run


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """What other tests have compiled: a copy, for who dies writing to it spoils it."""
    folder = tmp_path_factory.mktemp("compiled") / "cache"
    shutil.copytree(os.environ["FGU_TEST_CACHE"], folder)
    return folder


@pytest.fixture
def training(trained_run, compiled, tmp_path):
    return Training(trained_run.config, tmp_path / "run", compiled)


def test_killed_three_times_it_ends_as_the_run_left_alone(training, trained_run):
    assert training.kill_writing_a_checkpoint()
    assert training.kill_merging()
    training.kill_after(random.uniform(0, 3))
    training.finish()
    assert_same_run(training.folder, trained_run.directory)
    digests = _newest(training.folder)["digests"]
    assert {"labels", "key", "cluster_memory", "history"} <= digests.keys()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_killed_four_times_at_random_moments(training, trained_run, seed):
    """With its other cases, 20 kills."""
    moments = random.Random(seed)
    longest, kills, attempts = 6.0, 0, 0
    while kills < 4:
        attempts += 1
        assert attempts < 30
        if training.kill_after(moments.uniform(0, longest)):
            kills += 1
        else:  # it was done before: nothing is left to kill but a resumed end
            longest *= 0.7
    training.finish()
    assert_same_run(training.folder, trained_run.directory)
