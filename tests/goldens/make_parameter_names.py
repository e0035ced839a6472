"""Writes ``tests/parameter_names.json``: every network's arrays and their shapes.

    python tests/goldens/make_parameter_names.py

A change in it breaks old checkpoints: the test that compares it asks for a decision.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp

from fgu_jax.networks import BACKBONES, build
from fgu_jax.networks.weights.names import shapes

PATH = Path(__file__).parent.parent / "parameter_names.json"


def parameter_names() -> dict[str, dict[str, list[int]]]:
    """For each backbone, with U = 6, affine windows, a neck and images of 384 x 128."""
    names = {}
    for backbone in BACKBONES:
        network = build(backbone, patch_generator="affine", neck=True)
        images = jax.ShapeDtypeStruct((2, 384, 128, 3), jnp.float32)
        variables = jax.eval_shape(
            lambda key, x, network=network: network.init(key, x, train=False),
            jax.random.key(0),
            images,
        )
        names[backbone] = {k: list(v) for k, v in sorted(shapes(variables).items())}
    return names


def main() -> None:
    lines = []
    for backbone, names in parameter_names().items():
        inner = ",\n".join(f"  {json.dumps(k)}: {v}" for k, v in names.items())
        lines.append(f" {json.dumps(backbone)}: {{\n{inner}\n }}")
    PATH.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{PATH.name}: {sum(map(len, parameter_names().values()))} arrays")


if __name__ == "__main__":
    main()
