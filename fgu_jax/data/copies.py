"""Files of equal bytes: a query must not be answered by a copy of itself."""

import hashlib
from collections import Counter
from collections.abc import Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from fgu_jax.data.dataset import Labels
from fgu_jax.data.images import ImageSet, default_threads


def find_copies(
    query: ImageSet, query_labels: Labels, gallery: ImageSet, gallery_labels: Labels
) -> tuple[Labels, Labels, str | None]:
    """Labels with their ``copies``, and what is to be told of them.

    Two images are copies where the bytes of their files, and their boxes, are equal.
    What cannot be read is a copy of nothing; whoever needs it says why.

    Returns:
      Labels of the queries and of the gallery; one line, or ``None`` where no query has
      a copy. A query that is drawn from the gallery is no copy of itself.
    """
    asked, answers = _digests(query), _digests(gallery)
    times = Counter(digest for digest in answers if digest is not None)
    numbers = {d: k for k, d in enumerate(times.keys() & set(asked))}
    own = set(gallery.names)
    count = sum(
        times[digest] > (name in own)
        for digest, name in zip(asked, query.names, strict=True)
        if digest is not None
    )
    told = (
        f"{count:,} of {len(query):,} queries are files of the same bytes as gallery "
        "images: a query is never ranked against a copy of itself"
    )

    def numbered(labels: Labels, digests: list[Hashable]) -> Labels:
        copies = [numbers.get(digest, -1) for digest in digests]
        return replace(labels, copies=np.asarray(copies, np.int32))

    return (
        numbered(query_labels, asked),
        numbered(gallery_labels, answers),
        told if count else None,
    )


def _digests(images: ImageSet) -> list[Hashable]:
    def digest(row: int) -> Hashable:
        try:
            data = images.source.read(images.keys[row])
        except (OSError, ValueError):
            return None
        return hashlib.blake2b(data, digest_size=16).digest(), images.box(row)

    with ThreadPoolExecutor(default_threads()) as pool:
        return list(pool.map(digest, range(len(images)), chunksize=64))
