"""What a review leaves: a page, its thumbnails, and its questions as JSON."""

import json
from pathlib import Path

from fgu_jax.data import ImageSet
from fgu_jax.progress import Progress
from fgu_jax.reviewing.page import THUMBNAILS, Review, render
from fgu_jax.reviewing.pictures import Shown, write_thumbnails

RECORD = "questions.json"
_MADE_BY_US = frozenset((RECORD, "index.html", THUMBNAILS))


def is_review(folder: Path) -> bool:
    """Whether a folder is a review's, and holds nothing else."""
    found = {entry.name for entry in folder.iterdir()}
    return RECORD in found and found <= _MADE_BY_US


def write_review(
    folder: Path,
    review: Review,
    images: ImageSet,
    *,
    progress: Progress | None = None,
) -> list[Shown]:
    """Writes the page, the thumbnails and the questions.

    Args:
      folder: an empty one.
      review: what is asked.
      images: [N], in the order of its names.
      progress: called with (done, total, what).

    Returns:
      The thumbnails; those with ``trouble`` are of images that cannot be read.
    """
    (folder / THUMBNAILS).mkdir()
    shown = write_thumbnails(folder / THUMBNAILS, images, progress)
    record = {
        "images": len(review.names),
        "clusters": len(review.typical),
        "questions": [
            {
                "image": review.names[question.first],
                "other": review.names[question.second],
                "within": question.within,
                "sides": question.sides,
                "similarity": round(question.similarity, 4),
                "change": round(question.change, 2),
            }
            for question in review.questions
        ],
    }
    text = json.dumps(record, indent=1, allow_nan=False)
    (folder / RECORD).write_text(text + "\n", encoding="ascii")
    (folder / "index.html").write_text(render(review, shown), encoding="utf-8")
    return shown
