"""Ablations: the paper's tables in its own layout, and choices changed one by one."""

from fgu_jax.ablation.choices import choices, tried
from fgu_jax.ablation.tables import SET_BY_TABLE, TABLES, Table, find

__all__ = ["SET_BY_TABLE", "TABLES", "Table", "choices", "find", "tried"]
