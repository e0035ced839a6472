"""One exact merge step beside a single blocked product of all pairs, and BUC's way."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fgu_jax.bench.features import unit_rows
from fgu_jax.bench.measure import Unequal, Work
from fgu_jax.bench.rivals import merging as plain_merging
from fgu_jax.bench.sizes import Merge
from fgu_jax.errors import InputError
from fgu_jax.merging import merge_with_heights

_VARIANTS = ("fresh", "half", "duplicates")
_BLOCK = 2048
# All pairs at once, their order and their numbers: some 40 bytes a pair.
_MOST_FOR_ALL_PAIRS = 16_384
_PRODUCT = "one N x N product"
_BUC = "BUC's steps"


def works(sizes: Merge) -> list[Work]:
    """A row for each variant."""
    variants = sizes.variants.split(",")
    for variant in variants:
        if variant not in _VARIANTS:
            raise InputError(
                f"variant {variant!r} is not known: use {', '.join(_VARIANTS)}"
            )
    return [_work(sizes, variant) for variant in variants]


def _work(sizes: Merge, variant: str) -> Work:
    n, d = sizes.images, sizes.width
    merges = sizes.merges or n // 20
    if variant == "duplicates":
        merges += n // 10  # past the copies, which cost nothing
    features, labels = _drawn(n, d, variant)

    def ours():
        return merge_with_heights(features, labels, merges)

    rivals: dict[str, Callable[[], Any]] = {_PRODUCT: lambda: _product(features)}
    if variant == "fresh" and n <= _MOST_FOR_ALL_PAIRS:
        rivals[_BUC] = lambda: plain_merging.merge_as_buc(features, labels, merges)

    def check(results):
        found, heights = results["fgu_jax"]
        start = int(labels.max()) + 1
        if int(found.max()) + 1 != start - merges or len(heights) != merges:
            raise Unequal(f"{start} clusters became {found.max() + 1} by {merges}")
        said = f"{start:,} clusters became {start - merges:,}"
        for name, other in results.items():
            if name == _BUC:
                wrong = int(np.count_nonzero(other != found))
                if wrong:
                    raise Unequal(f"{wrong} labels differ from those of {name}")
                said += f", labels equal to {name}"
        return said

    return Work(
        what=f"{merges:,} merges, {variant}, N {n:,}, D {d:,}",
        run=ours,
        rivals=rivals,
        check=check,
        operations=float(n) * n * d,  # half of the products: distances are symmetric
        moved=4.0 * n * d,
        compiles=False,
        notes=("the floor is the product of half of all pairs",),
    )


def _drawn(n: int, d: int, variant: str) -> tuple[np.ndarray, np.ndarray]:
    """Unit rows of people who are seen about 17 times each, as on Market-1501."""
    rng = np.random.default_rng(2)
    people = rng.integers(0, max(1, n // 17), n)
    centres = unit_rows(rng, (max(1, n // 17), d))
    features = np.empty((n, d), np.float32)
    for start in range(0, n, 8192):
        part = slice(start, start + 8192)
        rows = centres[people[part]]
        features[part] = unit_rows(rng, rows.shape, around=rows, spread=0.8)
    labels = np.arange(n)
    if variant == "half":
        labels = merge_with_heights(features, labels, n // 2)[0].astype(np.int64)
    elif variant == "duplicates":
        copies = rng.choice(n, n // 10, replace=False)
        features[copies] = features[(copies + 1) % n]
    return features, labels


@jax.jit
def _block_of_product(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.max(jnp.matmul(a, b.T, precision=jax.lax.Precision.HIGHEST))


def _product(features: np.ndarray) -> float:
    """Products of all pairs in blocks, of which nothing is kept but the largest."""
    blocks = [
        jnp.asarray(features[start : start + _BLOCK])
        for start in range(0, len(features), _BLOCK)
    ]
    largest = [_block_of_product(a, b) for a in blocks for b in blocks]
    return float(max(largest))
