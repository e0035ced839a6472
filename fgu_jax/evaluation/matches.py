"""Which queries have an image to find, and why where none has."""

from dataclasses import replace

import numpy as np

from fgu_jax.data import Labels
from fgu_jax.retrieval.protocol import UNKNOWN, Protocol


def any_match(query: Labels, gallery: Labels) -> bool:
    """Whether any query has an image to find, as ``rank`` counts them.

    >>> twice = Labels(identities=[7, 7], cameras=[1, 2])
    >>> any_match(twice.take([0]), twice), any_match(twice.take([0]), twice.take([0]))
    (True, False)
    """
    protocol = _protocol(query, gallery)
    return any(len(protocol.of(row)[0]) for row in range(protocol.queries))


def any_stranger(query: Labels, gallery: Labels) -> bool:
    """Whether any query can meet another individual, as ``retrieval.open_set`` asks.

    Images of nobody known are no strangers: nobody can say that they are others.

    >>> twice = Labels(identities=[7, 7, -1], cameras=None)
    >>> any_stranger(twice.take([0]), twice)
    False
    >>> any_stranger(twice.take([0]), Labels(identities=[7, 0], cameras=None))
    True
    """
    protocol = _protocol(query, gallery)
    ranked = len(protocol.kept)
    return any(
        sum(map(len, protocol.of(row))) < ranked for row in range(protocol.queries)
    )


def _protocol(query: Labels, gallery: Labels) -> Protocol:
    return Protocol(
        *(query.identities, gallery.identities, query.cameras, gallery.cameras, None),
        *(query.copies, gallery.copies),
    )


def num_ranked(gallery: Labels) -> int:
    """How many gallery images are ranked: all but those of nobody known.

    >>> num_ranked(Labels(identities=[7, -1, 0], cameras=None))
    2
    """
    return int(np.count_nonzero(gallery.identities != UNKNOWN))


def why_none(query: Labels, gallery: Labels) -> str:
    """Why no query has an image to find, and what can be done, in one line.

    >>> one = Labels(identities=[7, 7], cameras=[1, 1])
    >>> why_none(one.take([0]), one)[-69:]
    'leave the camera out of the pattern or table, to rank within a camera'
    """
    why = (
        f"none of {len(query)} queries has a match among {num_ranked(gallery)} gallery "
        "images"
    )
    copied = replace(query, copies=None), replace(gallery, copies=None)
    if any_match(*copied):
        return f"{why} but copies of its own file: give other images of the same"
    cameras = gallery.cameras
    known = gallery.identities[np.isin(gallery.identities, query.identities)]
    if cameras is not None and np.any(np.unique(known, return_counts=True)[1] > 1):
        seen = np.unique(cameras)
        of_one = ", and all are of one camera" if len(seen) == 1 else ""
        return (
            f"{why} (images of its identity and another camera){of_one}: leave the "
            "camera out of the pattern or table, to rank within a camera"
        )
    if len(known):
        return f"{why}: no identity has an image beside the query, of another camera"
    return f"{why}: no identity is in both; compare how they are named"
