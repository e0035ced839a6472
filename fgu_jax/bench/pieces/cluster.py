"""Clusters told nothing: the whole, its linkage alone, and others' on fewer images."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fgu_jax import clustering
from fgu_jax.bench.features import clustered, open_features
from fgu_jax.bench.measure import OURS, Unequal, Work
from fgu_jax.bench.rivals import clustering as rivals
from fgu_jax.bench.sizes import Cluster, Evaluate
from fgu_jax.clustering.automatic import MAX_DISTANCE

_SAME = "SciPy, dense"


def works(sizes: Cluster) -> list[Work]:
    """All images, ours alone; the linkage of their graph; some of them, with rivals."""
    features, truth = _open(sizes)
    count, width = features.shape
    product = float(count) * count * width  # half of the products: symmetric
    graph: list[Any] = []

    def linkage():
        if not graph:  # made when it is asked for: a weighing may want another row
            graph.append(clustering.neighbour_graph(features))
        return clustering.average_linkage(graph[0], max_distance=MAX_DISTANCE)

    linkage_only = Work(
        what=f"its linkage alone, N {count:,}",
        run=linkage,
        check=lambda results: _scores(results, truth),
        compiles=True,  # the graph is made in the first run
        notes=("no floor: rounds of sparse sums",),
    )
    found = [
        Work(
            what=f"clusters, N {count:,}, D {width}",
            run=lambda: clustering.cluster(features),
            check=lambda results: _scores(results, truth),
            operations=product,
            moved=4.0 * count * width,
            compiles=False,
            notes=("the floor is the product of half of all pairs",),
        ),
        linkage_only,
    ]
    if sizes.rival_images:
        part = np.random.default_rng(0).permutation(count)[: sizes.rival_images]
        found.append(_beside(features[part], truth[part]))
    return found


def _open(sizes: Cluster) -> tuple[np.ndarray, np.ndarray]:
    if sizes.features:
        ranked = open_features(Evaluate(features=sizes.features))
        known = ranked.gallery_ids > 0
        return ranked.gallery[known], ranked.gallery_ids[known]
    random = np.random.default_rng(7)
    truth = random.integers(0, max(1, sizes.images // 17), sizes.images)
    return clustered(random, truth, sizes.width, spread=1.0), truth


def _beside(features: np.ndarray, truth: np.ndarray) -> Work:
    others: dict[str, Callable[[], Any]] = {
        "DBSCAN, Jaccard 0.5": lambda: rivals.dbscan(features),
        "HDBSCAN": lambda: rivals.hdbscan(features),
    }
    others[_SAME] = lambda: rivals.average_dense(
        clustering.neighbour_graph(features), MAX_DISTANCE
    )

    def check(results: Mapping[str, Any]) -> str:
        same = results.get(_SAME)
        if same is not None:
            scores = clustering.compare(same, results[OURS])
            if scores.ari < 1:
                raise Unequal(f"another partition than {_SAME}: ARI {scores.ari}")
        return _scores(results, truth)

    return Work(
        what=f"clusters beside others', N {len(features):,}, D {features.shape[1]}",
        run=lambda: clustering.cluster(features),
        rivals=others,
        check=check,
        operations=float(len(features)) ** 2 * features.shape[1],
        moved=4.0 * features.size,
        compiles=False,
    )


def _scores(results: Mapping[str, Any], truth: np.ndarray) -> str:
    said = []
    for name, labels in results.items():
        scores = clustering.compare(truth, clustering.with_those_alone(labels))
        said.append(f"{name} ARI {scores.ari:.3f}, C {scores.num_clusters:,}")
    return "; ".join(said)
