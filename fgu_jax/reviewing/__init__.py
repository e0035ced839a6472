"""Review: a page that asks a person about the pairs whose answer changes most.

``asked_by_features`` chooses what, ``pictures`` finds images, ``write_review`` makes
the page of a ``Review``; ``answers.csv``, which it saves, is of ``runs.answers``.
"""

from fgu_jax.reviewing.asked import asked_by_features, asked_by_table, rows_of
from fgu_jax.reviewing.next_command import next_command
from fgu_jax.reviewing.page import Review
from fgu_jax.reviewing.pictures import pictures
from fgu_jax.reviewing.result import is_review, write_review

__all__ = [
    "Review",
    "asked_by_features",
    "asked_by_table",
    "is_review",
    "next_command",
    "pictures",
    "rows_of",
    "write_review",
]
