"""The network of a configuration: built, started from weights, or read from a run."""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from fgu_jax import config_values, networks
from fgu_jax.checkpoints import FOLDER as CHECKPOINTS
from fgu_jax.checkpoints import Checkpoints
from fgu_jax.config import Config
from fgu_jax.data import StreamedImages
from fgu_jax.digests import first_difference, warn_unverified
from fgu_jax.embedding import first_statistics
from fgu_jax.errors import InputError
from fgu_jax.methods import HANDCRAFTED
from fgu_jax.network_files import read_network
from fgu_jax.step import AXIS, replicate
from fgu_jax.weights import load_initial

# Of an exported folder.
EXPORT_RECORD, EXPORT_FORMAT = "export.json", 1
EXPORTED_NETWORK = "network"


def build(
    config: Config, axis_name: str | None = None, bn_momentum: float = 0.9
) -> networks.Network:
    """The network of a configuration, its weights not yet there."""
    return networks.build(
        config.backbone,
        num_patches=config.num_patches,
        patch_dim=config.patch_dim,
        patch_generator=config.patch_generator,
        neck=config.neck,
        dtype=jnp.dtype(config.precision),
        axis_name=axis_name,
        bn_momentum=bn_momentum,
    )


def shapes(config: Config) -> dict[str, Any]:
    """``params`` and ``batch_stats`` as shapes and dtypes; nothing is computed."""
    image = jax.ShapeDtypeStruct(
        (1, config.image_height, config.image_width, 3), jnp.float32
    )
    initialise = functools.partial(build(config).init, train=False)
    return jax.eval_shape(initialise, jax.random.key(0), image)


def start(
    config: Config, mesh: Mesh, images: np.ndarray | StreamedImages
) -> tuple[dict[str, Any], list[str]]:
    """Variables of a new run, on the mesh, and what is to be said of their weights.

    BatchNorm layers that the weights do not cover get their first statistics from
    training images.

    Args:
      config: the run's.
      mesh: devices.
      images: uint8 [N, H, W, 3].

    Raises:
      InputError: weights that cannot be had or do not fit.
    """
    random = _random(config)
    variables, report = load_initial(
        config.init,
        config.backbone,
        random,
        read_checkpoint=lambda path: read_run(path)[1],
    )
    new = [name for name in report.missing if name.startswith("batch_stats")]
    variables = replicate(variables, mesh)
    if new:
        variables["batch_stats"] = replicate(
            first_statistics(
                build(config, AXIS, bn_momentum=0.0),
                variables,
                images,
                mesh,
                batch_size=config.batch_size,
                heads_only=not any("backbone" in name for name in new),
            ),
            mesh,
        )
    return variables, [] if config.init == "random" else report.lines()


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained network.

    Attributes:
      config: of the run.
      variables: ``params`` and ``batch_stats`` as NumPy arrays.
      step: batches that it was trained on.
    """

    config: Config
    variables: dict[str, Any]
    step: int


def read_trained(path: str | Path) -> Trained:
    """The network of a run's newest checkpoint, or of an exported folder.

    Args:
      path: the run's folder; ``RUN/checkpoints/STEP`` for a certain checkpoint; or
        what ``export.py`` wrote.

    Raises:
      InputError: the folder is neither, or what it holds cannot be used.
    """
    path, step = _of_checkpoint(Path(path))
    config = config_values.load(path / "config.json")
    if config.method in HANDCRAFTED:
        raise InputError(
            f"{path} is a run of --method={config.method}, which trains no network: "
            "its figures stand in metrics.jsonl"
        )
    if (path / EXPORT_RECORD).exists():
        return _read_export(path, config)
    checkpoints = Checkpoints(path / CHECKPOINTS, read_only=True)
    try:
        variables = checkpoints.restore_network(shapes(config), step)
        newest = checkpoints.latest() or 0
        return Trained(config, variables, newest if step is None else step)
    finally:
        checkpoints.close()


def read_run(path: str | Path) -> tuple[Config, dict[str, Any]]:
    """Configuration and variables of ``read_trained``."""
    trained = read_trained(path)
    return trained.config, trained.variables


def _of_checkpoint(path: Path) -> tuple[Path, int | None]:
    """The run's folder and the step, of a path that names one checkpoint of it."""
    if path.parent.name != CHECKPOINTS or not path.name.isdecimal():
        return path, None
    return path.parent.parent, int(path.name)


def _read_export(path: Path, config: Config) -> Trained:
    step, digests = _read_record(path / EXPORT_RECORD)
    what = f"the export {path}"
    variables = read_network(path / EXPORTED_NETWORK, shapes(config), what=what)
    name = None
    if digests is None:
        warn_unverified(what)
    else:
        name = first_difference(variables, digests)
    if name is not None:
        raise InputError(
            f"{what} is damaged: {name} is not what was exported; copy it again, or "
            "export the run again"
        )
    return Trained(config, variables, step)


def _read_record(path: Path) -> tuple[int, dict[str, str] | None]:
    """The step and the digests; ``None`` for those of the first versions."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        form, step = record["format"], record["step"]
        digests = record.get("digests")
        if not isinstance(digests, dict | None):
            raise TypeError
    except (OSError, ValueError, RecursionError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is damaged ({type(error).__name__}): export the run again"
        ) from None
    if form != EXPORT_FORMAT or not isinstance(step, int):
        raise InputError(
            f"{path} has format {form!r}, this version of fgu_jax reads "
            f"{EXPORT_FORMAT}: export the run again, or install the version that wrote "
            "it"
        )
    return step, digests


def _random(config: Config) -> dict[str, Any]:
    image = jnp.zeros((1, config.image_height, config.image_width, 3))
    initialise = jax.jit(functools.partial(build(config).init, train=False))
    return dict(initialise(jax.random.key(config.seed), image))
