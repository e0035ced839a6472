"""States of training that are drawn, saved, read back and compared."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fgu_jax.runs.checkpoints import Checkpoints
from fgu_jax.training.state import create

HERE = jax.sharding.SingleDeviceSharding(jax.devices()[0])
PAST = {"epochs": [{"epoch": 0, "loss": 0.1}], "fingerprint": "abc"}


def drawn_state(step):
    rng = np.random.default_rng(step)

    def array(*shape):
        return jnp.asarray(rng.standard_normal(shape, np.float32))

    state = create(
        variables={
            "params": {"backbone": {"kernel": array(30, 40)}},
            "batch_stats": {"mean": array(5)},
        },
        optimizer=optax.sgd(0.1, momentum=0.9),
        global_features=array(50, 16),
        patches=array(2, 50, 8),
        seed=step,
    )
    return state.replace(step=jnp.asarray(step, jnp.int32))


def restore(folder):
    found = Checkpoints(folder, read_only=True)
    try:
        return found.restore(jax.eval_shape(lambda: drawn_state(0)), HERE)
    finally:
        found.close()


def restore_network(folder, step=None):
    found = Checkpoints(folder, read_only=True)
    wanted = jax.eval_shape(lambda: drawn_state(0))
    network = {"params": wanted.params, "batch_stats": wanted.batch_stats}
    try:
        return found.restore_network(network, step)
    finally:
        found.close()


def assert_is(state, step):
    for found, expected in zip(
        jax.tree.leaves(state), jax.tree.leaves(drawn_state(step)), strict=True
    ):
        if jax.dtypes.issubdtype(found.dtype, jax.dtypes.prng_key):
            found, expected = map(jax.random.key_data, (found, expected))
        np.testing.assert_array_equal(found, expected)


def steps_in(folder):
    return sorted(int(path.name) for path in folder.iterdir())
