"""A trained network without its training: a folder that inference needs, no more."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import export as jax_export

from fgu_jax._version import __version__
from fgu_jax.errors import InputError
from fgu_jax.files import check_output, whole_folder
from fgu_jax.inference.network import build_network
from fgu_jax.inference.passes import fused, make_embed_step
from fgu_jax.inference.trained import (
    EXPORT_FORMAT,
    EXPORT_RECORD,
    EXPORTED_NETWORK,
    Trained,
    read_trained,
)
from fgu_jax.runs import labels
from fgu_jax.runs.arrays import digest_arrays, digest_bytes, save_network

PLATFORMS = ("cpu", "cuda", "tpu")
PROGRAM = "features.stablehlo"
_CONFIG = "config.json"
# Features that a search keeps beside the network, and what SQLite has beside them.
_CACHE = "search_cache.sqlite"
_MADE_BY_US = frozenset(
    (_CONFIG, EXPORT_RECORD, EXPORTED_NETWORK, PROGRAM, labels.NAME, _CACHE)
) | {f"{_CACHE}-{part}" for part in ("journal", "wal", "shm")}


def export(
    checkpoint: str | Path, output: str | Path, *, overwrite: bool = False
) -> dict[str, Any]:
    """Writes an inference folder, whole or not at all.

    It holds ``config.json``; ``network/``, the evaluation parameters by orbax, which
    ``fgu_jax.load`` reads; ``features.stablehlo``, the whole network with its weights
    as one portable program, which needs JAX alone (``jax.export.deserialize``): images
    uint8 [b, height, width, 3] of any b to fused features float32 [b, F], unit rows,
    on cpu, cuda and tpu; and ``export.json``, which says all this and has the
    CRC-32 of every array, compared when it is read, and of the program.

    The weights are constants of the program, so that one file is all it takes; the
    folder is about twice their size.

    Args:
      checkpoint: a run's folder.
      output: the folder to be.
      overwrite: replace an earlier export.

    Returns:
      What ``export.json`` says.

    Raises:
      InputError: no run, an output that exists or cannot be written.
    """
    output = Path(output)
    check_output(output, overwrite=overwrite, ours=is_export)
    trained = read_trained(checkpoint)
    program = features_program(trained)
    serialized = bytes(program.serialize())
    config = trained.config
    record = {
        "format": EXPORT_FORMAT,
        "fgu_jax": __version__,
        "jax": jax.__version__,
        "step": trained.step,
        "program": PROGRAM,
        "platforms": list(PLATFORMS),
        "input": f"uint8 [b, {config.image_height}, {config.image_width}, 3], RGB",
        "output": f"float32 [b, {program.out_avals[0].shape[1]}], rows of length 1",
        "calling_convention_version": program.calling_convention_version,
        "digests": digest_arrays(trained.variables)
        | {PROGRAM: digest_bytes(serialized)},
    }
    with_labels = labels.used(checkpoint)
    with whole_folder(output) as folder:
        labels.write(folder, with_labels)
        (folder / _CONFIG).write_text(config.to_json(), encoding="utf-8")
        save_network(folder / EXPORTED_NETWORK, trained.variables)
        (folder / PROGRAM).write_bytes(serialized)
        # Last, as it is what makes the folder an export.
        text = json.dumps(record, indent=1) + "\n"
        (folder / EXPORT_RECORD).write_text(text, encoding="utf-8")
    return record


def features_program(trained: Trained) -> jax_export.Exported:
    """The network as one program: uint8 [b, H, W, 3] to fused float32 [b, F].

    Args:
      trained: whose variables become constants of the program.

    Raises:
      InputError: ``flatbuffers``, which ``jax.export`` writes with, is not installed.
    """
    try:
        import flatbuffers  # noqa: F401
    except ImportError:
        raise InputError(
            "export needs the package flatbuffers: pip install flatbuffers"
        ) from None
    config = trained.config
    embed = make_embed_step(build_network(config))

    def program(images):
        features = fused(*embed(trained.variables, images))["fused"]
        return features.astype(jnp.float32)

    (batch,) = jax_export.symbolic_shape("b")
    images = jax.ShapeDtypeStruct(
        (batch, config.image_height, config.image_width, 3), jnp.uint8
    )
    return jax_export.export(jax.jit(program), platforms=PLATFORMS)(images)


def is_export(folder: Path) -> bool:
    """Whether a folder is one that ``export`` wrote, and holds nothing else."""
    found = {entry.name for entry in folder.iterdir()}
    return EXPORT_RECORD in found and found <= _MADE_BY_US
