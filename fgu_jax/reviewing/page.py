"""The page of a review: one file that draws itself from data within it."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources

import numpy as np

from fgu_jax.clustering import Question
from fgu_jax.messages import printable
from fgu_jax.reviewing.pictures import Shown
from fgu_jax.runs.answers import Answers

THUMBNAILS = "thumbnails"
_SCRIPTS = (
    *("answers.js", "kept.js", "table.js"),
    *("questions.js", "clusters.js", "page.js"),
)


@dataclass(frozen=True, kw_only=True)
class Review:
    """What a page asks and shows.

    Attributes:
      names: [N], of the images.
      labels: int [N], their clusters, dense.
      questions: the first counts most.
      typical: int [C], an image of each cluster that stands for it.
      alike: [C], for each cluster the others that are most alike.
      answers: those given so far; what the page saves holds them too.
      cameras: [N], as text; empty where it is not known.
      about: where images and clusters are from, for the head of the page.
      command: what to run with the saved answers.
    """

    names: tuple[str, ...]
    labels: np.ndarray
    questions: Sequence[Question]
    typical: np.ndarray
    alike: Sequence[Sequence[int]]
    answers: Answers
    cameras: Sequence[str]
    about: str
    command: str


def render(review: Review, shown: Sequence[Shown]) -> str:
    """The page as HTML; names are text in it, whatever they hold.

    Args:
      review: what it asks.
      shown: [N], the thumbnails, in ``THUMBNAILS`` beside it.
    """
    size = np.bincount(review.labels)
    here = resources.files(__package__)
    fields = {
        "title": f"Review: {len(size):,} clusters of {len(review.labels):,} images",
        "about": escape(printable(review.about)),
        "command": escape(printable(review.command)),
        # No "<" is left that could end the script element or open a comment.
        "data": json.dumps(_data(review, shown, size), separators=(",", ":")).replace(
            "<", "\\u003c"
        ),
        "script": "\n".join(here.joinpath(f).read_text("utf-8") for f in _SCRIPTS),
    }
    template = here.joinpath("page.html").read_text("utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: fields[found[1]], template)


def _data(review: Review, shown: Sequence[Shown], size: np.ndarray) -> dict:
    """What the page's script reads; rows of images are numbers in it."""
    images = []
    for name, picture, camera in zip(review.names, shown, review.cameras, strict=True):
        image = [name, picture.file, camera, picture.date]
        if (seen := printable(name)) != name:
            image.append(seen)
        images.append(image)
    given = [
        [*pair, int(same)]
        for same, pairs in ((True, review.answers.same), (False, review.answers.apart))
        for pair in pairs.tolist()
    ]
    made = {
        "images": images,
        "labels": review.labels.tolist(),
        "sizes": size.tolist(),
        "typical": review.typical.tolist(),
        "alike": [list(map(int, others)) for others in review.alike],
        "questions": [
            [q.first, q.second, int(q.within), *q.sides, *q.others]
            for q in review.questions
        ],
        "given": given,
        "names": list(review.answers.names.items()),
    }
    digest = hashlib.blake2b(json.dumps(made).encode(), digest_size=12)
    return made | {"id": digest.hexdigest()}
