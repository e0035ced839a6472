"""Review: a page that asks a person about the pairs whose answer changes most.

``Review`` is what it asks, ``pictures`` finds the images, ``write_review`` makes the
page and its thumbnails; ``answers.csv``, which the page saves, is of ``runs.answers``.
"""

from fgu_jax.reviewing.page import Review
from fgu_jax.reviewing.pictures import pictures
from fgu_jax.reviewing.result import is_review, write_review

__all__ = ["Review", "is_review", "pictures", "write_review"]
