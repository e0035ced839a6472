"""Evaluation from features, beside one product and a sort of every row."""

from fgu_jax import retrieval
from fgu_jax.bench.features import open_features
from fgu_jax.bench.measure import Work, close, same_as
from fgu_jax.bench.rivals import retrieval as plain_retrieval
from fgu_jax.bench.sizes import Evaluate


def works(sizes: Evaluate) -> list[Work]:
    """One row."""
    ranked = open_features(sizes)
    (q, d), g = ranked.query.shape, len(ranked.gallery)

    def ours():
        found = retrieval.evaluate(ranked.query, ranked.gallery, **ranked.labels)
        return {"rank1": found.rank1, "mAP": found.mAP, "mINP": found.mINP}

    def check(results):
        mine = results["fgu_jax"]
        for name, other in results.items():
            for key in ("rank1", "mAP"):
                close(mine[key], other[key], f"{key} of {name}", rtol=0, atol=1e-4)
        figures = ", ".join(f"{key} {100 * value:.4f}" for key, value in mine.items())
        return same_as(results, f"rank-1 and mAP ({figures})")

    return [
        Work(
            what=f"evaluate {q:,} x {g:,}, D {d}",
            run=ours,
            rivals={"NumPy, all sorted": lambda: plain_retrieval.evaluate(ranked)},
            check=check,
            operations=2.0 * q * g * d,
            moved=4.0 * (q + g) * d,
            compiles=False,
        )
    ]
