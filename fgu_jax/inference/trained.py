"""A trained network, read from a run's checkpoint or from an exported folder."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from fgu_jax.config import Config, values
from fgu_jax.config.methods import HANDCRAFTED
from fgu_jax.errors import InputError
from fgu_jax.inference.network import variable_shapes
from fgu_jax.runs.arrays import other_digest, read_network, warn_unverified
from fgu_jax.runs.checkpoints import FOLDER as CHECKPOINTS
from fgu_jax.runs.checkpoints import Checkpoints

# Of an exported folder.
EXPORT_RECORD, EXPORT_FORMAT, EXPORTED_NETWORK = "export.json", 1, "network"


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
    path, step = Path(path), None
    if path.parent.name == CHECKPOINTS and path.name.isdecimal():
        path, step = path.parent.parent, int(path.name)
    config = values.load(path / "config.json")
    if config.method in HANDCRAFTED:
        raise InputError(
            f"{path} is a run of --method={config.method}, which trains no network: "
            "its figures stand in metrics.jsonl"
        )
    if (path / EXPORT_RECORD).exists():
        return _read_export(path, config)
    checkpoints = Checkpoints(path / CHECKPOINTS, read_only=True)
    try:
        variables = checkpoints.restore_network(variable_shapes(config), step)
        newest = checkpoints.latest() or 0
        return Trained(config, variables, newest if step is None else step)
    finally:
        checkpoints.close()


def read_run(path: str | Path) -> tuple[Config, dict[str, Any]]:
    """Configuration and variables of ``read_trained``."""
    trained = read_trained(path)
    return trained.config, trained.variables


def _read_export(path: Path, config: Config) -> Trained:
    step, digests = _read_record(path / EXPORT_RECORD)
    what = f"the export {path}"
    variables = read_network(
        path / EXPORTED_NETWORK, variable_shapes(config), what=what
    )
    if digests is None:
        warn_unverified(what)
    elif name := other_digest(variables, digests):
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
