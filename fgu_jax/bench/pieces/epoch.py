"""Whole epochs of a run on drawn pedestrians: training, merging, evaluation."""

import json
import tempfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

import fgu_jax
from fgu_jax.bench.machine import Rates
from fgu_jax.bench.measure import Options, Unequal, spread
from fgu_jax.bench.sizes import Epoch
from fgu_jax.config import presets
from fgu_jax.data import Settings, load_dataset
from fgu_jax.inference.network import build_network, variable_shapes
from fgu_jax.progress import Progress

_EPOCHS = 5
_WARM = 2  # epochs in which something compiles for the first time


def run(
    sizes: Epoch, rates: Rates, options: Options, progress: Progress | None = None
) -> list[dict[str, Any]]:
    """A row for each part of an epoch, from the run's own timings."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            train_identities=sizes.identities,
            test_identities=max(2, sizes.identities // 2),
        )
        dataset = load_dataset(
            "synthetic", data_dir=folder, settings=settings, progress=progress
        )
        config = presets.resolve(
            {
                "dataset": "synthetic",
                "backbone": sizes.backbone,
                "image_height": sizes.height,
                "image_width": sizes.width,
                "num_patches": sizes.patches,
                "batch_size": sizes.batch,
                "epochs": _EPOCHS,
                "merge_start": 2,
                "merge_every": 1,
                "merge_stop": _EPOCHS,
                "eval_every": 1,
                "save_every": _EPOCHS,
                "report": False,
                "workdir": str(Path(folder) / "run"),
                "init": "random",
            }
        )
        done = fgu_jax.fit(config, dataset, quiet=True)
        timings = [
            json.loads(line)
            for line in (done.directory / "timings.jsonl").read_text().splitlines()
        ]
    losses = [record["loss"] for record in done.history if "loss" in record]
    if not all(loss > 0 for loss in losses):
        raise Unequal(f"losses of the epochs are {losses}")
    steady = [line for line in timings if line.get("epoch", 0) > _WARM]
    images = len(dataset.train) // sizes.batch * sizes.batch
    checked = f"{_EPOCHS} epochs, losses {losses[0]:.3f} to {losses[-1]:.3f}"
    rows = []
    for part, key in (
        ("training", "train_seconds"),
        ("a pass and a merge", "merge_seconds"),
        ("evaluation", "evaluate_seconds"),
    ):
        seconds = [line[key] for line in steady]
        row: dict[str, Any] = {
            "what": f"{part}, {sizes.backbone}, N {len(dataset.train):,}",
            "checked": checked,
            "floor_seconds": 0.0,
            "over_floor": None,
            "rivals": {},
            **spread(seconds),
        }
        if key == "train_seconds":
            floor = rates.floor(3 * images * _forward_operations(config), 0)
            row["floor_seconds"] = floor
            row["over_floor"] = row["seconds"] / floor
            row["images_per_second"] = images / row["seconds"]
            row["notes"] = ["the floor is three forward passes at the rate of products"]
        rows.append(row)
    return rows


def _forward_operations(config: fgu_jax.Config) -> float:
    """Of one image."""
    shape = (1, config.image_height, config.image_width, 3)
    image = jax.ShapeDtypeStruct(shape, jnp.float32)

    def forward(variables, image):
        return build_network(config).apply(variables, image, train=False)

    cost: Any = jax.jit(forward).lower(variable_shapes(config), image).cost_analysis()
    return float(cost["flops"])
