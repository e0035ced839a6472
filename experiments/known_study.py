"""New images beside known clusters: how many are put right, how many new ones found.

Each file is an .npz of features [N, D] and ids [N] (whom images show; -1 and 0: left
out). A fifth of the images is new: all those of every sixth individual or so, and
others at random. The known clusters are made of the rest, told nothing, and once are
the true identities. Prints a table in Markdown: docs/clustering.md has it.
"""

import argparse
from pathlib import Path

import numpy as np

from fgu_jax import clustering

SEEDS = 3


def main() -> None:
    """Reads the files, puts new images, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    files = parser.parse_args().files
    print(
        "| features | known clusters | new images: of known, of new individuals | "
        "right, nearest neighbour | right, --known | new: precision | recall |"
    )
    print("|" + " --- |" * 7)
    for path in files:
        with np.load(path) as file:
            known = file["ids"] > 0
            features, ids = file["features"][known], file["ids"][known]
        for truth in (False, True):
            rows = [_put(features, ids, seed, truth) for seed in range(SEEDS)]
            of = np.mean(rows, axis=0)
            name, by = path.stem.replace("_", " "), "true" if truth else "made"
            print(
                f"| {name} | {by} | {of[0]:.0f}, {of[1]:.0f} | "
                + " | ".join(f"{value:.3f}" for value in of[2:])
                + " |",
                flush=True,
            )


def _put(features: np.ndarray, ids: np.ndarray, seed: int, truth: bool) -> list[float]:
    random = np.random.default_rng(seed)
    everybody = np.unique(ids)
    held = np.isin(ids, random.choice(everybody, len(everybody) // 6, replace=False))
    more = max(len(ids) // 20, len(ids) // 5 - int(np.count_nonzero(held)))
    held[random.choice(np.flatnonzero(~held), more, replace=False)] = True
    old, new = np.flatnonzero(~held), np.flatnonzero(held)
    known = np.full(len(ids), -1)
    known[old] = (
        np.unique(ids[old], return_inverse=True)[1]
        if truth
        else clustering.cluster(features[old])
    )
    found = clustering.cluster(features, known=known)
    if len(np.unique(np.stack([found, known])[:, old], axis=1).T) != known.max() + 1:
        raise RuntimeError("a known cluster has moved: clustering() is broken")
    # A cluster is of its commonest individual.
    who = np.array(
        [np.bincount(ids[known == k]).argmax() for k in np.unique(known[old])]
    )
    of = dict(zip(found[old].tolist(), who[known[old]].tolist(), strict=True))
    put = np.array([of.get(int(cluster), -1) for cluster in found[new]])
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    nearest = who[known[old[(unit[new] @ unit[old].T).argmax(axis=1)]]]
    there = np.isin(ids[new], ids[old])
    says_new = put < 0
    return [
        float(np.count_nonzero(there)),
        float(np.count_nonzero(~there)),
        float(np.mean((nearest == ids[new])[there])),
        float(np.mean((put == ids[new])[there])),
        float(np.mean(~there[says_new])),
        float(np.mean(says_new[~there])),
    ]


if __name__ == "__main__":
    main()
