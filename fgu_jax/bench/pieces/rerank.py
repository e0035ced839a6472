"""Re-ranking at full size, and a dense transcription where it can be waited for."""

import numpy as np

from fgu_jax import retrieval
from fgu_jax.bench.features import Ranked, open_features
from fgu_jax.bench.measure import Unequal, Work, close, same_as
from fgu_jax.bench.rivals import retrieval as plain_retrieval
from fgu_jax.bench.sizes import Rerank

_WEIGHT = 0.3


def works(sizes: Rerank) -> list[Work]:
    """All images, ours alone; some of them, with the rival."""
    ranked = open_features(sizes)
    total = len(ranked.query) + len(ranked.gallery)
    if total <= sizes.rival_images:
        return [_work(ranked, sizes, rival=True)]
    part = ranked.first(sizes.rival_images)
    return [_work(ranked, sizes, rival=False), _work(part, sizes, rival=True)]


def _work(ranked: Ranked, sizes: Rerank, *, rival: bool) -> Work:
    query, gallery = ranked.query, ranked.gallery
    n, d = len(query) + len(gallery), query.shape[1]

    def ours():
        return retrieval.rerank(
            query, gallery, k1=sizes.k1, k2=sizes.k2, lambda_value=_WEIGHT
        )

    def dense():
        return plain_retrieval.rerank(query, gallery, sizes.k1, sizes.k2, _WEIGHT)

    def check(results):
        mine = results["fgu_jax"]
        if not (np.isfinite(mine).all() and mine.min() >= 0 and mine.max() <= 1.001):
            raise Unequal(f"distances lie in {mine.min()}..{mine.max()}, not in 0..1")
        for name, other in results.items():
            # float32 neighbours that are as good as equal may change places.
            off = np.abs(mine - other) > 1e-4
            close(off.mean(), 0, f"share of distances unlike {name}", atol=1e-3)
        plain = retrieval.evaluate(query, gallery, **ranked.labels)
        better = retrieval.evaluate(None, None, distances=mine, **ranked.labels)
        figures = f"mAP {100 * plain.mAP:.2f} became {100 * better.mAP:.2f}"
        return f"{figures}; {same_as(results, 'distances')}"

    return Work(
        what=f"re-rank {len(query):,} x {len(gallery):,}, D {d}",
        run=ours,
        rivals={"NumPy, dense": dense} if rival else {},
        check=check,
        operations=2.0 * n * n * d,
        moved=4.0 * n * d,
        compiles=False,
    )
