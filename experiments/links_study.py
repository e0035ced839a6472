"""Training again with a person's answers: what 200 of them are worth to the network.

For each seed drawn pedestrians are trained on by --preset=quick; an oracle answers the
review page's questions about the run's training images, in rounds of 25; then the same
is trained again with --links. Keeps the runs, and an .npz of features and ids of the
first one's training images (for known_study.py and answers_study.py), in a folder.
"""

import argparse
import csv
from pathlib import Path

import numpy as np

import fgu_jax
from fgu_jax import clustering, presets
from fgu_jax.data import Settings, load_dataset
from fgu_jax.runs.answers import COLUMNS

ANSWERS, A_ROUND = 200, 25


def main() -> None:
    """Trains twice a seed and prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    print(
        "| seed | answers: yes, no | fused rank-1 / mAP without | with | ARI | with |"
    )
    print("|" + " --- |" * 6)
    for seed in arguments.seeds:
        first = _run(arguments.folder, seed)
        features, ids, names = _training_images(first, seed)
        np.savez(
            arguments.folder / f"drawn_seed_{seed}.npz", features=features, ids=ids
        )
        answers = arguments.folder / f"answers-{seed}.csv"
        counts = _answered(features, ids, names, answers)
        second = _run(arguments.folder, seed, links=str(answers))
        cells = [
            f"{100 * run.history[-1]['fused_rank1']:.1f} / "
            f"{100 * run.history[-1]['fused_mAP']:.1f}"
            for run in (first, second)
        ]
        who = dict(zip(names, ids.tolist(), strict=True))
        ari = [_ari(run, who) for run in (first, second)]
        print(
            f"| {seed} | {counts[0]}, {counts[1]} | {cells[0]} | {cells[1]} | "
            f"{ari[0]:.3f} | {ari[1]:.3f} |",
            flush=True,
        )


def _run(folder: Path, seed: int, **changes) -> fgu_jax.Run:
    where = folder / f"seed-{seed}{'-links' if changes else ''}"
    config = presets.resolve(
        {
            "dataset": "synthetic",
            "data_dir": str(folder / f"data-{seed}"),
            "workdir": str(where),
            "seed": seed,
            "report": False,
            **changes,
        }
    )
    return fgu_jax.fit(config, quiet=True)


def _training_images(run: fgu_jax.Run, seed: int):
    """Fused features, identities and names of the run's training images."""
    data = load_dataset(
        "synthetic", data_dir=run.config.data_dir, settings=Settings(seed=seed)
    )
    assert data.train_labels is not None
    features = fgu_jax.load(run.directory).of_set(data.train, ("fused",))["fused"]
    return features, data.train_labels.identities, data.train.names


def _answered(
    features: np.ndarray, ids: np.ndarray, names: tuple[str, ...], path: Path
) -> tuple[int, int]:
    """Writes the oracle's answers; how many were yes, and no."""
    same: list[tuple[int, int]] = []
    apart: list[tuple[int, int]] = []
    for _ in range(ANSWERS // A_ROUND):
        made = clustering.clustering(features, must_link=same, cannot_link=apart)
        asked = clustering.questions(
            made.graph.similarities,
            made.labels,
            most=A_ROUND,
            must_link=same,
            cannot_link=apart,
        )
        for q in asked:
            (same if ids[q.first] == ids[q.second] else apart).append(
                (q.first, q.second)
            )
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows((names[i], names[j], "yes") for i, j in same)
        writer.writerows((names[i], names[j], "no") for i, j in apart)
    return len(same), len(apart)


def _ari(run: fgu_jax.Run, who: dict[str, int]) -> float:
    """Of the run's clusters.csv."""
    with (run.directory / "clusters.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    truth = np.array([who[row["image"]] for row in rows])
    return clustering.compare(
        truth, np.array([int(row["cluster"]) for row in rows])
    ).ari


if __name__ == "__main__":
    main()
