"""Bottom-up merging of clusters, eq (5)."""

from fgu_jax.merging.linkage import refuse_what_does_not_fit
from fgu_jax.merging.merge import CRITERIA, merge_clusters, merge_with_heights

__all__ = [
    "CRITERIA",
    "merge_clusters",
    "merge_with_heights",
    "refuse_what_does_not_fit",
]
