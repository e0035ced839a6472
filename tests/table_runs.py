"""Runs of ablations without their training: what a table is made of, in no time."""

import dataclasses
import json
import math
import types

from small_run import SMALL_RUN

from fgu_jax import ablation
from fgu_jax.ablation import runs, write
from fgu_jax.config import presets
from fgu_jax.config.located import located
from fgu_jax.training import loop

BASE = presets.resolve(SMALL_RUN)


def session():
    return {
        "devices": {"count": 1, "kind": "cpu"},
        "git": None,
        "versions": {"python": "3", "jax": "0"},
        "started": "2026-01-01T00:00:00Z",
    }


def figures(rank1, mean_ap):
    parts = ("fused", "global", "local")
    return {f"{p}_rank1": rank1 for p in parts} | {f"{p}_mAP": mean_ap for p in parts}


def run(label, seed, rank1, mean_ap=0.1, **changes):
    config = dataclasses.replace(BASE, seed=seed, workdir=f"w/{label}{seed}", **changes)
    history = [
        {"epoch": 0, "clusters": 9, **figures(0.01, 0.01)},
        {"epoch": config.epochs, "clusters": 5, **figures(rank1, mean_ap)},
    ]
    return runs.Finished(label, config, history, session(), 60.0)


class Trained(list):
    """Folder and ``resume`` of the runs that were made.

    After ``stop_after`` of them training dies like a killed process: its folder is
    half done.
    """

    stop_after = math.inf


def without_training(monkeypatch) -> Trained:
    """Puts a stand-in where training is, which leaves what a run leaves."""
    made = Trained()

    def fit(config, data, *, quiet, on_epoch):
        folder = config.directory
        if len(made) >= made.stop_after:
            folder.mkdir(parents=True)
            (folder / "config.json").write_text(located(config).to_json())
            raise KeyboardInterrupt
        made.append((folder.name, config.resume))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(located(config).to_json())
        value = 0.5 + 0.01 * config.seed + 0.1 * (config.attract_weight > 0)
        lines = [
            {"epoch": epoch, "clusters": 5, **figures(value, value)}
            for epoch in range(config.epochs + 1)
        ]
        for line in lines:
            on_epoch(line)
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / "metrics.jsonl").write_text(text)
        (folder / "timings.jsonl").write_text('{"epoch": 1, "train_seconds": 2.5}\n')
        (folder / "run.json").write_text(json.dumps({"sessions": [session()]}))
        (folder / "clusters.csv").write_text("")

    monkeypatch.setattr(loop, "fit", fit)
    labelled = types.SimpleNamespace(query=())
    monkeypatch.setattr(runs, "read_dataset", lambda *_: labelled)
    return made


def table(which, folder, *, num_seeds=2, base=BASE, on_wait=lambda _: None):
    return write.run_table(
        which if isinstance(which, ablation.Table) else ablation.find(which),
        base,
        num_seeds=num_seeds,
        directory=folder,
        command="ablate.py",
        on_epoch=lambda *_: None,
        on_run=lambda *_: None,
        on_wait=on_wait,
    )
