"""Compiled programs, shared by runs of one process that differ in nothing compiled.

A table of ablations is many runs of one network: each would compile the same step anew.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from jax.sharding import Mesh

from fgu_jax.config import FIELDS, NOT_COMPILED, TRACED, Config
from fgu_jax.inference.network import build_network, variable_shapes
from fgu_jax.inference.passes import Embedding
from fgu_jax.parallel.mesh import AXIS
from fgu_jax.training.optimizer import make_optimizer
from fgu_jax.training.step import make_train_step

_KEPT = 4  # programs of each kind


def embedding(config: Config, mesh: Mesh) -> Embedding:
    """The evaluation-mode pass of a configuration's network over a mesh."""
    return _embedding(_compiled_part(config), mesh)


def train_step(config: Config, steps_per_epoch: int) -> Callable:
    """The train step of one device: the same function wherever it is the same step."""
    compiled = _compiled_part(config)
    if config.patch_weight == 0:  # without the local branch it is another
        compiled = dataclasses.replace(compiled, patch_weight=0.0)
    return _train_step(compiled, steps_per_epoch)


def _compiled_part(config: Config) -> Config:
    names = NOT_COMPILED.union(TRACED)  # what is traced, the step takes as numbers
    rest: dict[str, Any] = {name: FIELDS[name].default for name in names}
    return dataclasses.replace(config, **rest)


@functools.lru_cache(maxsize=_KEPT)
def _embedding(config: Config, mesh: Mesh) -> Embedding:
    return Embedding(build_network(config), mesh)


@functools.lru_cache(maxsize=_KEPT)
def _train_step(config: Config, steps_per_epoch: int) -> Callable:
    return make_train_step(
        build_network(config, AXIS),
        make_optimizer(config, variable_shapes(config), steps_per_epoch),
        config,
        steps_per_epoch,
    )
