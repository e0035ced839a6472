"""What compiled programs depend on, as traits of the configuration's fields say it."""

import jax
import jax.numpy as jnp
import pytest
from small_run import SMALL_RUN

from fgu_jax.config import NOT_COMPILED, TRACED, presets
from fgu_jax.inference.network import build_network, variable_shapes
from fgu_jax.inference.passes import Embedding
from fgu_jax.networks import global_dim
from fgu_jax.parallel.mesh import AXIS, make_mesh
from fgu_jax.training import step
from fgu_jax.training.optimizer import make_optimizer
from fgu_jax.training.state import create, specs

N, B = 12, 4


class Noting:
    """A configuration that notes which of its fields are read."""

    def __init__(self, config):
        self._config = config
        self.read = set()

    def __getattr__(self, name):
        self.read.add(name)
        return getattr(self._config, name)


@pytest.mark.parametrize("shard_tables", [False, True])
def test_no_program_reads_a_field_that_is_not_compiled(shard_tables):
    changes = {"batch_size": B, "shard_tables": shard_tables, "color_jitter": 0.5}
    config = Noting(presets.resolve(SMALL_RUN | changes))
    mesh = make_mesh(2)
    Embedding(build_network(config), mesh)
    variables = variable_shapes(config)
    optimizer = make_optimizer(config, variables, N // B)
    network = build_network(config, AXIS)
    one = step.make_train_step(network, optimizer, config, N // B)
    state = jax.eval_shape(
        lambda variables: create(
            variables=variables,
            optimizer=optimizer,
            global_features=jnp.zeros((N, global_dim(config.backbone))),
            patches=jnp.zeros((2, N, 8)),
            seed=0,
        ),
        variables,
    )
    batch = {
        "index": jax.ShapeDtypeStruct((B,), jnp.int32),
        "image": jax.ShapeDtypeStruct((B, 32, 16, 3), jnp.uint8),
    }
    mapped = step.mapped_train_step(one, mesh, specs(shard_tables=shard_tables))
    mapped.lower(state, None, batch)
    assert {"backbone", "learning_rate", "scale", "erasing", *TRACED} <= config.read
    assert not config.read & NOT_COMPILED
