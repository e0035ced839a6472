"""Ablations: the paper's tables in its own layout, and choices changed one by one."""

from fgu_jax.ablation.choices import choices, tried
from fgu_jax.ablation.tables import TABLES, Table, find

__all__ = ["TABLES", "Table", "choices", "find", "tried"]
