"""Draws features, graphs and links, and checks what no clustering may do.

    python tests/fuzz/clusters.py                        300,000 calls
    python tests/fuzz/clusters.py --calls=1000 --seed=5

Graphs of chains, of parts apart, of equal similarities; features that repeat, that are
all alike, that are few; links by chance, those that contradict each other too. A call
gives dense labels that keep every link, or is refused in one line. tests/clustering
draws a few of each by hypothesis, and compares the results with plain readings.
"""

import argparse
import collections
import time
import warnings

import numpy as np
import scipy.sparse as sp

from fgu_jax import clustering
from fgu_jax.errors import InputError

SECONDS = 5
KINDS = ("chain", "apart", "equal", "sparse", "dense", "levels", "empty")


def draw_graph(rng: np.random.Generator) -> sp.csr_array:
    """[N, N], symmetric, similarities in 0..1."""
    count = int(rng.choice([1, 2, 3, 4, 5, 8, 13, 21, 34, 55]))
    kind = str(rng.choice(KINDS))
    dense = np.zeros((count, count))
    if kind == "chain":
        rows = np.arange(count - 1)
        dense[rows, rows + 1] = rng.random() if rng.random() < 0.5 else rng.random(1)
    elif kind == "apart":
        part = rng.integers(0, 3, count)
        dense = rng.random((count, count)) * (part[:, None] == part[None, :])
    elif kind == "equal":
        dense[:] = rng.choice([0.25, 0.5, 1.0])
    elif kind in ("sparse", "dense"):
        share = 0.1 if kind == "sparse" else 0.9
        dense = rng.random((count, count)) * (rng.random((count, count)) < share)
    elif kind == "levels":  # ties everywhere
        dense = rng.integers(0, 4, (count, count)) / 4
    dense = np.triu(dense, 1)
    return sp.csr_array(dense + dense.T)


def draw_features(rng: np.random.Generator) -> np.ndarray:
    """[N, D], some of them not what can be used."""
    count = int(rng.choice([1, 2, 3, 4, 7, 12, 20, 40, 60]))
    width = int(rng.integers(1, 9))
    people = int(rng.integers(1, count + 1))
    noise = rng.choice([0.0, 0.1, 1.0])
    centres = rng.normal(size=(people, width))
    features = centres[rng.integers(0, people, count)]
    features = features + noise * rng.normal(size=features.shape)
    kind = rng.random()
    if kind < 0.05:
        features[rng.integers(0, count)] = 0
    elif kind < 0.1:
        features[rng.integers(0, count), 0] = rng.choice([np.nan, np.inf, -np.inf])
    elif kind < 0.15:
        features = features * float(rng.choice([1e-30, 1e-5, 1e30]))
    kinds = ["float16", "float32", "float64"]
    with np.errstate(over="ignore", under="ignore"):
        return features.astype(rng.choice(kinds))


def draw_links(rng: np.random.Generator, count: int) -> dict[str, list]:
    """Pairs of rows; few, so that most can be kept."""
    most = 0 if rng.random() < 0.4 else int(rng.integers(1, 6))

    def pairs() -> list:
        number = int(rng.integers(0, most + 1))
        top = count + (rng.random() < 0.02)  # a row that is not there
        return [tuple(map(int, pair)) for pair in rng.integers(0, top, (number, 2))]

    return {"must_link": pairs(), "cannot_link": pairs()}


def draw_wanted(rng: np.random.Generator, count: int) -> dict:
    if rng.random() < 0.5:
        return {"max_distance": float(rng.choice([0, 0.3, 0.5, 0.73, 0.9, 1.0]))}
    return {"num_clusters": int(rng.integers(1, count + 1))}


def check(labels: np.ndarray, links: dict, wanted: dict, count: int) -> None:
    assert labels.dtype == np.int32
    assert labels.shape == (count,)
    _, first = np.unique(labels, return_index=True)
    assert labels[np.sort(first)].tolist() == list(range(len(first)))
    assert all(labels[i] == labels[j] for i, j in links["must_link"])
    assert all(labels[i] != labels[j] for i, j in links["cannot_link"])
    if "num_clusters" in wanted:
        assert labels.max() + 1 == wanted["num_clusters"]


def call(rng: np.random.Generator, seen: collections.Counter) -> None:
    """One clustering, of a graph or of features."""
    if rng.random() < 0.6:
        names = ("average_linkage", "average_linkage", "single_linkage")
        name = str(rng.choice([*names, "complete_linkage"]))
        of = draw_graph(rng)
        more = draw_wanted(rng, of.shape[0])
    else:
        name, of = "cluster", draw_features(rng)
        more = draw_wanted(rng, len(of)) if rng.random() < 0.7 else {}
        if rng.random() < 0.3:
            more["cameras"] = rng.integers(0, 3, len(of))
    count = of.shape[0]
    links = draw_links(rng, count)
    if name == "single_linkage":
        links = {key: [] for key in links}
    given = {key: pairs for key, pairs in links.items() if pairs}
    try:
        labels = getattr(clustering, name)(of, **more, **given)
    except InputError as error:
        if "\n" in str(error):
            raise AssertionError(f"more than one line: {error}") from error
        seen["refused"] += 1
        return
    seen[name] += 1
    check(labels, links, more, count)
    if name == "cluster" and rng.random() < 0.05:
        found = clustering.clustering(of, **more, **given)
        np.testing.assert_array_equal(found.labels, labels)
        number, low, high = found.individuals
        assert 1 <= low <= number <= high <= count, found.individuals
        sure = found.standing.confidence
        assert ((sure >= 0) & (sure <= 1)).all()
        seen["told of"] += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=300_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    warnings.simplefilter("error")
    seen: collections.Counter = collections.Counter()
    slowest, started = 0.0, time.perf_counter()
    for k in range(given.calls):
        before = time.process_time()
        try:
            call(np.random.default_rng([given.seed, k]), seen)
        except Exception:
            print(f"call {k} of seed {given.seed}")
            raise
        slowest = max(slowest, time.process_time() - before)
    assert slowest < SECONDS, slowest
    counts = ", ".join(f"{number:,} {name}" for name, number in seen.most_common())
    seconds = time.perf_counter() - started
    print(
        f"{given.calls:,} calls: {counts}; slowest {slowest:.2f} s of a core, "
        f"{seconds:.0f} s in all"
    )


if __name__ == "__main__":
    main()
