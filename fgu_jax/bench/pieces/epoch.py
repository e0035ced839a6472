"""Whole epochs of a run on drawn pedestrians: training, merging, evaluation."""

import json
import tempfile
from pathlib import Path
from typing import Any

import fgu_jax
from fgu_jax.bench.machine import Rates
from fgu_jax.bench.measure import Unequal, plain_row
from fgu_jax.bench.sizes import Epoch
from fgu_jax.bench.training import forward_operations
from fgu_jax.config import presets
from fgu_jax.data import Settings, load_dataset
from fgu_jax.progress import Progress

_EPOCHS = 5
_WARM = 2  # epochs in which something compiles for the first time


def rows(
    sizes: Epoch, rates: Rates, progress: Progress | None = None
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

    def row(part: str, key: str, **more: Any) -> dict[str, Any]:
        what = f"{part}, {sizes.backbone}, N {len(dataset.train):,}"
        return plain_row(what, checked, [line[key] for line in steady], **more)

    floor = rates.floor(3 * images * forward_operations(config), 0)
    training = row(
        "training",
        "train_seconds",
        floor_seconds=floor,
        notes=["the floor is three forward passes at the rate of products"],
    )
    training["over_floor"] = training["seconds"] / floor
    training["images_per_second"] = images / training["seconds"]
    return [
        training,
        row("a pass and a merge", "merge_seconds"),
        row("evaluation", "evaluate_seconds"),
    ]
