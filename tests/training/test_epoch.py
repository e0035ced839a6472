"""Many steps in one dispatch: the same steps, seen later."""

import dataclasses
import types

import flax.struct
import jax.numpy as jnp
import numpy as np
import pytest
from small_run import SMALL_RUN

from fgu_jax.config import Config, presets
from fgu_jax.errors import InputError
from fgu_jax.parallel.mesh import make_mesh
from fgu_jax.training import loop
from fgu_jax.training.epoch import Epochs
from fgu_jax.training.sampling import epoch_order

IMAGES = np.arange(22, dtype=np.uint8).reshape(22, 1, 1, 1) * np.ones((4, 4, 3), "u1")
CONFIG = Config(
    batch_size=4, images_on_device="always", steps_per_dispatch=3, workdir="unused"
)


class Counted(flax.struct.PyTreeNode):
    """A state that remembers the rows it was trained on, in their order."""

    step: jnp.ndarray
    seen: jnp.ndarray
    labels: jnp.ndarray


def step(state, images, batch, weights=None):
    del weights
    index = batch["index"]
    pixels = (
        images[index, 0, 0, 0] if images is not None else batch["image"][:, 0, 0, 0]
    )
    seen = state.seen.at[state.step].set(pixels.astype(jnp.int32))
    loss = jnp.where(state.step == 3, jnp.nan, 1.0) if len(seen) == 99 else 1.0
    state = state.replace(step=state.step + 1, seen=seen)
    return state, {"loss": jnp.asarray(loss), "other": loss * 2}


def run(config, *, rows=5, done=0, seen=None, signum=None, labels=None, calls=None):
    train = Epochs(config, step, IMAGES, make_mesh(1))
    seen = jnp.full((rows, 4), -1) if seen is None else seen
    stop = types.SimpleNamespace(signum=signum, look=lambda **_: None)
    labels = jnp.zeros(len(IMAGES), jnp.int32) if labels is None else labels
    told = [] if calls is None else calls

    def progress(*call):
        told.append(call)

    state = train(1, Counted(jnp.int32(done), seen, labels), stop, progress)
    return int(state.step), np.asarray(state.seen)


@pytest.mark.parametrize("most", [1, 2, 3, 5, 64])
def test_every_batch_is_taken_once_and_in_order(most):
    order = epoch_order(0, 1, 22, 4)
    config = dataclasses.replace(CONFIG, steps_per_dispatch=most)
    assert run(config)[0] == 5
    np.testing.assert_array_equal(run(config)[1], order)


def test_images_of_the_host_give_the_same_batches():
    config = dataclasses.replace(CONFIG, images_on_device="never")
    np.testing.assert_array_equal(run(config)[1], run(CONFIG)[1])


def test_an_epoch_is_taken_up_where_it_stood():
    order = epoch_order(0, 1, 22, 4)
    half = jnp.full((5, 4), -1).at[:2].set(order[:2])
    step, seen = run(CONFIG, done=2, seen=half)
    assert step == 5
    np.testing.assert_array_equal(seen, order)


def test_a_loss_that_is_not_finite_is_named_by_its_step():
    with pytest.raises(InputError, match="loss is nan in epoch 1, step 4:"):
        run(CONFIG, rows=99)


def test_a_stop_is_seen_between_dispatches():
    assert run(CONFIG, signum=15)[0] == 1  # the first dispatch is of one step


@pytest.mark.parametrize("most", [1, 3])
def test_progress_ends_with_the_steps_that_were_done(most):
    config = dataclasses.replace(CONFIG, steps_per_dispatch=most)
    whole, stopped = [], []
    run(config, calls=whole)
    assert whole[-1] == (5, 5, "epoch 1")
    run(config, signum=15, calls=stopped)
    assert stopped[-1] == (1, 5, "epoch 1")


def test_a_run_by_dispatches_is_the_run_by_steps(drawn_folder, tmp_path):
    settings = SMALL_RUN | {"dataset": "market1501", "data_dir": str(drawn_folder)}
    settings |= {"images_on_device": "always", "epochs": 1, "merge_start": 1}
    runs = [
        loop.fit(
            presets.resolve(
                settings
                | {"workdir": str(tmp_path / str(most)), "steps_per_dispatch": most}
            ),
            quiet=True,
        )
        for most in (1, 4)
    ]
    assert runs[0].clusters.tolist() == runs[1].clusters.tolist()
    for one, many in zip(*(run.history for run in runs), strict=True):
        for name in one:
            assert many[name] == pytest.approx(one[name], rel=1e-5), name


def test_images_in_no_cluster_are_left_out():
    labels = jnp.asarray([-1, 0, 1] * 8, jnp.int32)[: len(IMAGES)]
    inside = np.flatnonzero(labels >= 0)
    steps, seen = run(CONFIG, labels=labels)
    assert steps == 5
    # Passes over those that are inside, none of them twice in a batch.
    whole = len(inside) // 4
    passes = [seen[k : k + whole].ravel() for k in range(0, 5, whole)]
    for rows in passes:
        assert set(rows) <= set(inside.tolist())
        assert len(set(rows)) == len(rows)


def test_order_of_all_rows_is_that_of_before():
    order = np.random.default_rng([3, 2]).permutation(101)[:96].reshape(12, 8)
    np.testing.assert_array_equal(epoch_order(3, 2, 101, 8), order)
    np.testing.assert_array_equal(epoch_order(3, 2, 101, 8, np.arange(101)), order)
    few = epoch_order(0, 1, 20, 8, np.array([4, 7]))
    assert few.shape == (2, 8)
    assert (np.bincount(few.ravel(), minlength=8)[[4, 7]] == 8).all()
