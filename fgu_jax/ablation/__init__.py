"""The paper's tables of ablations, run and written in its own layout."""

from fgu_jax.ablation.tables import TABLES, Table, find

__all__ = ["TABLES", "Table", "find"]
