"""Retrieval: search, its metrics under the protocol of re-ID, and re-ranking.

NumPy in, NumPy out. Nothing here holds a matrix of all queries by all gallery images,
but for what it returns.
"""

from fgu_jax.retrieval.evaluate import Metrics, evaluate
from fgu_jax.retrieval.neighbours import search
from fgu_jax.retrieval.open_set import OpenSet, open_set
from fgu_jax.retrieval.rerank import rerank

__all__ = ["Metrics", "OpenSet", "evaluate", "open_set", "rerank", "search"]
