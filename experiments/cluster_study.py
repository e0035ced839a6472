"""Clusters of labelled features: our defaults, other scales, other methods.

Each file is an .npz of features [N, D], ids [N] (whom images show; -1 and 0: left out)
and cameras [N]. Writes a table in Markdown and a plot: docs/clustering.md has both.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from fgu_jax import clustering
from fgu_jax.bench.rivals import clustering as rivals
from fgu_jax.clustering.automatic import MAX_DISTANCE
from fgu_jax.clustering.graph import graph_of

K1 = (3, 5, 8, 12, 18, 23, 30, 45)
DISTANCES = (0.5, 0.6, 0.65, 0.7, 0.73, 0.76, 0.8, 0.85, 0.9)


def main() -> None:
    """Reads the files, studies each, writes the table and the plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--plot", type=Path, required=True)
    arguments = parser.parse_args()
    lines = [
        "| features | N, identities | ours | with cameras | "
        + " | ".join((*rivals.ALL, *rivals.TOLD))
        + " |"
    ]
    lines.append("|" + " --- |" * (4 + len(rivals.ALL) + len(rivals.TOLD)))
    curves = {}
    for path in arguments.files:
        name = path.stem.replace("_", " ")
        with np.load(path) as file:
            known = file["ids"] > 0
            features, ids = file["features"][known], file["ids"][known]
            cameras = file["cameras"][known]
        lines.append(_row(name, features, ids, cameras))
        print(lines[-1], flush=True)
        curves[name] = _curves(features, ids)
    arguments.table.write_text("\n".join(lines) + "\n")
    _plot(curves, arguments.plot)


def _row(name: str, features: np.ndarray, ids: np.ndarray, cameras: np.ndarray) -> str:
    people = len(np.unique(ids))
    cells = [name, f"{len(ids):,}, {people:,}"]
    cells.append(_cell(ids, clustering.cluster(features)))
    cells.append(_cell(ids, clustering.cluster(features, cameras=cameras)))
    cells += [_cell(ids, made(features)) for made in rivals.ALL.values()]
    cells += [_cell(ids, made(features, people)) for made in rivals.TOLD.values()]
    return f"| {' | '.join(cells)} |"


def _cell(ids: np.ndarray, labels: np.ndarray | None) -> str:
    if labels is None:
        return "-"
    scores = clustering.compare(ids, clustering.with_those_alone(labels))
    return f"{scores.ari:.3f}, {scores.num_clusters:,}"


def _curves(features: np.ndarray, ids: np.ndarray) -> dict[str, list]:
    """ARI by k1 at the default distance, and by distance at the scale of the data."""

    def ari(graph, distance: float) -> float:
        labels = clustering.average_linkage(graph, max_distance=distance)
        return clustering.compare(ids, labels).ari

    made = graph_of(features)
    by_k1 = [
        ari(clustering.neighbour_graph(features, k1=k1, k2=round(0.3 * k1)), 0.73)
        for k1 in K1
    ]
    by_distance = [ari(made.similarities, distance) for distance in DISTANCES]
    return {"k1": by_k1, "distance": by_distance, "chosen": [made.k1]}


def _plot(curves: dict[str, dict[str, list]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure((10, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for number, (name, found) in enumerate(curves.items()):
        style = {"linewidth": 1.2, "linestyle": "-" if number < 10 else "--"}
        line = left.plot(K1, found["k1"], label=name, **style)[0]
        at = found["distance"][DISTANCES.index(MAX_DISTANCE)]
        left.plot(found["chosen"], [at], "o", color=line.get_color())
        right.plot(DISTANCES, found["distance"], color=line.get_color(), **style)
    left.set(xscale="log", xlabel="k1 (dots: chosen from the data)", ylabel="ARI")
    left.set_xticks(K1, [str(k) for k in K1], minor=False)
    left.minorticks_off()
    right.set(xlabel="max_distance, k1 from the data")
    right.axvline(MAX_DISTANCE, color="0.6", linewidth=0.8)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=8)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    start = time.perf_counter()
    main()
    print(f"{time.perf_counter() - start:.0f} s")
