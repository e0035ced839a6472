"""Checkpoints that are damaged: files cut short, flipped bytes, other arrays."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from saved_states import (
    PAST,
    assert_is,
    restore,
    restore_network,
)

from fgu_jax.errors import InputError
from fgu_jax.runs import arrays as digests


def _refused_or_not_needed(folder):
    """Whether checkpoint 6 is refused, in one line; if not, it is what was saved."""
    try:
        state, history = restore(folder)
    except InputError as error:
        return "\n" not in str(error)
    assert_is(state, 6)
    assert history == PAST
    return False


def _every_file(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.usefixtures("small_heap")
def test_a_file_cut_short_anywhere_is_refused_or_not_needed(saved):
    refused = 0
    for path in _every_file(saved / "6"):
        whole = path.read_bytes()
        for kept in (0, len(whole) - 1):
            path.write_bytes(whole[:kept])
            refused += _refused_or_not_needed(saved)
        path.write_bytes(whole)
    assert refused >= 10
    assert_is(restore(saved)[0], 6)


@pytest.mark.usefixtures("small_heap")
def test_a_flipped_byte_anywhere_is_refused_or_not_needed(saved):
    rng = np.random.default_rng(0)
    refused = 0
    for path in _every_file(saved / "6"):
        whole = path.read_bytes()
        for place in rng.integers(0, len(whole), 2):
            spoilt = bytearray(whole)
            spoilt[place] ^= 1 << rng.integers(8)
            path.write_bytes(spoilt)
            refused += _refused_or_not_needed(saved)
        path.write_bytes(whole)
    assert refused >= 10


def _claim_other_digests(saved, name):
    path = saved / "6" / "history" / "metadata"
    record = json.loads(path.read_text())
    record["digests"][name] = "00000000"
    path.write_text(json.dumps(record))


@pytest.mark.parametrize("name", ["params/backbone/kernel", "cluster_memory", "key"])
def test_an_array_of_other_bytes_is_named_with_the_way_on(saved, name):
    _claim_other_digests(saved, name)
    with pytest.raises(InputError) as raised:
        restore(saved)
    line = str(raised.value)
    assert f"checkpoint 6 in {saved} is damaged: {name} is not what was saved" in line
    assert f"remove {saved / '6'} to go on from checkpoint 3" in line
    shutil.rmtree(saved / "6")
    assert_is(restore(saved)[0], 3)


def test_a_network_is_checked_where_it_is_loaded_alone(saved):
    _claim_other_digests(saved, "cluster_memory")
    restore_network(saved)  # none of its arrays
    _claim_other_digests(saved, "batch_stats/mean")
    with pytest.raises(InputError, match="batch_stats/mean is not what was saved"):
        restore_network(saved)


def test_the_only_checkpoint_names_no_other(saved):
    _claim_other_digests(saved, "labels")
    shutil.rmtree(saved / "3")
    with pytest.raises(InputError, match="labels is not .* no older one is here"):
        restore(saved)


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record["epochs"][0].update(loss=0.2),
        lambda record: record.update(fingerprint="abd"),
        lambda record: record.update(digests=[]),
        lambda record: record["digests"].pop("labels"),
    ],
)
def test_a_changed_history_is_refused(saved, change):
    path = saved / "6" / "history" / "metadata"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    with pytest.raises(InputError, match="(history|labels) is not what was saved"):
        restore(saved)


def test_a_checkpoint_of_before_there_were_digests_is_read_and_said(saved):
    path = saved / "6" / "history" / "metadata"
    record = json.loads(path.read_text())
    del record["digests"]
    path.write_text(json.dumps(record))
    with pytest.warns(UserWarning, match="checkpoint 6 .* read unverified"):
        state, history = restore(saved)
    assert_is(state, 6)
    assert history == PAST
    with pytest.warns(UserWarning, match="checkpoint 6 .* read unverified"):
        restore_network(saved)


def test_digests_see_every_bit_and_every_kind_of_array():
    tree = {
        "f": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "half": jnp.ones((3,), jnp.bfloat16),
        "scalar": np.float64(2),
        "flags": np.array([True, False]),
        "none": np.zeros((0, 3)),
        "key": jax.random.key(1),
    }
    expected = digests.digest_arrays(tree)
    assert expected.keys() == tree.keys()
    assert digests.other_digest(tree, expected) is None
    assert expected["f"] == digests.digest_arrays({"x": tree["f"].copy()})["x"]
    for name in ("f", "half", "scalar", "flags"):
        array = np.array(tree[name], order="C")
        raw = array.reshape(-1).view(np.uint8)
        for bit in range(8 * raw.size):
            raw[bit // 8] ^= 1 << bit % 8
            assert digests.other_digest(tree | {name: array}, expected) == name
            raw[bit // 8] ^= 1 << bit % 8
    other = tree | {"key": jax.random.key(2)}
    assert digests.other_digest(other, expected) == "key"
    assert digests.other_digest(tree | {"new": np.ones(1)}, expected) == "new"
