"""What answers are worth: an oracle answers the review page's questions.

Each file is an .npz of features [N, D] and ids [N] (whom images show; -1 and 0: left
out). Of larger files individuals are drawn, whole, up to 2,000 images. Answers are
given in rounds (questions, answers, clusters anew), all at once, and to random pairs;
every answer is checked to be honoured. Writes a table in Markdown and a plot:
docs/clustering.md has both.
"""

import argparse
import itertools
import time
from pathlib import Path

import numpy as np

from fgu_jax import clustering

MOST = 2000
STEPS = (0, 25, 50, 75, 100, 150, 200)
RANDOM_SEEDS = 3


def main() -> None:
    """Reads the files, answers, writes the table and the plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--plot", type=Path, required=True)
    arguments = parser.parse_args()
    lines = [
        "| features | N, identities | "
        + " | ".join(map(str, STEPS))
        + " | 100, one page | 100 random pairs |",
        "|" + " --- |" * (len(STEPS) + 4),
    ]
    curves = {}
    for path in arguments.files:
        name = path.stem.replace("_", " ")
        features, ids = _read(path)
        asked = _by_questions(features, ids, STEPS)
        once = _by_questions(features, ids, (0, 100))[-1]
        random = _by_random_pairs(features, ids)
        cells = [*(f"{ari:.3f}" for ari in asked), f"{once:.3f}", f"{random[-1]:.3f}"]
        sizes = f"{len(ids):,}, {len(np.unique(ids)):,}"
        lines.append(f"| {' | '.join([name, sizes, *cells])} |")
        print(lines[-1], flush=True)
        curves[name] = asked, random
    arguments.table.write_text("\n".join(lines) + "\n")
    _plot(curves, arguments.plot)


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(path) as file:
        known = file["ids"] > 0
        features, ids = file["features"][known], file["ids"][known]
    if len(ids) <= MOST:
        return features, ids
    order = np.random.default_rng(0).permutation(np.unique(ids))
    size = np.array([np.count_nonzero(ids == one) for one in order])
    rows = np.flatnonzero(np.isin(ids, order[np.cumsum(size) <= MOST]))
    return features[rows], ids[rows]


def _by_questions(
    features: np.ndarray, ids: np.ndarray, steps: tuple[int, ...]
) -> list[float]:
    """ARI after so many answers to the page's questions, a page for each step."""
    answers = _Answers(ids)
    made = clustering.clustering(features)
    found = [clustering.compare(ids, made.labels).ari]
    for before, after in itertools.pairwise(steps):
        asked = clustering.questions(
            made.graph.similarities,
            made.labels,
            most=after - before,
            must_link=answers.same,
            cannot_link=answers.apart,
        )
        answers.give([(q.first, q.second) for q in asked])
        made = answers.clustering(features)
        found.append(clustering.compare(ids, made.labels).ari)
    return found


def _by_random_pairs(features: np.ndarray, ids: np.ndarray) -> list[float]:
    """ARI after 0, 50 and 100 answers to random pairs, the mean of some seeds."""
    found = []
    for seed in range(RANDOM_SEEDS):
        random = np.random.default_rng(seed)
        pairs = [random.choice(len(ids), 2, replace=False) for _ in range(100)]
        for count in (0, 50, 100):
            answers = _Answers(ids)
            answers.give(pairs[:count])
            labels = answers.clustering(features).labels
            found.append(clustering.compare(ids, labels).ari)
    return np.reshape(found, (RANDOM_SEEDS, -1)).mean(axis=0).tolist()


class _Answers:
    """What the oracle said, by the true identities."""

    def __init__(self, ids: np.ndarray):
        self.same: list[tuple[int, int]] = []
        self.apart: list[tuple[int, int]] = []
        self._ids = ids

    def give(self, pairs) -> None:
        for i, j in pairs:
            same = self._ids[i] == self._ids[j]
            (self.same if same else self.apart).append((int(i), int(j)))

    def clustering(self, features: np.ndarray) -> clustering.Clustering:
        """Clusters by the answers, every one of which must be honoured."""
        made = clustering.clustering(
            features, must_link=self.same, cannot_link=self.apart
        )
        of = made.labels
        if not (
            all(of[i] == of[j] for i, j in self.same)
            and all(of[i] != of[j] for i, j in self.apart)
        ):
            raise RuntimeError("an answer is not honoured: clustering() is broken")
        return made


def _plot(curves: dict[str, tuple[list, list]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure((7, 4.4), layout="constrained")
    axes = figure.subplots()
    for name, (asked, random) in curves.items():
        line = axes.plot(STEPS, asked, marker="o", markersize=3, label=name)[0]
        axes.plot((0, 50, 100), random, ":", color=line.get_color())
    axes.set(xlabel="answers (dotted: to random pairs)", ylabel="ARI")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    start = time.perf_counter()
    main()
    print(f"{time.perf_counter() - start:.0f} s")
