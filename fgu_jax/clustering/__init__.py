"""Clusters of features, without labels: made, judged, and how sure each image is.

NumPy and SciPy in and out. Nothing here holds a matrix of all images by all images,
and nothing knows of data, networks or files.
"""

from fgu_jax.clustering.agreement import agreement
from fgu_jax.clustering.automatic import (
    Clustering,
    Individuals,
    cluster,
    clustering,
)
from fgu_jax.clustering.compare import ClusterScores, compare
from fgu_jax.clustering.confidence import Standing, alike, standing
from fgu_jax.clustering.dbscan import dbscan, with_those_alone
from fgu_jax.clustering.graph import Graph, neighbour_graph
from fgu_jax.clustering.linkage import (
    average_linkage,
    complete_linkage,
    single_linkage,
)
from fgu_jax.clustering.merges import Tree, tree
from fgu_jax.clustering.questions import Question, questions
from fgu_jax.clustering.questions_of_table import questions_of_table
from fgu_jax.clustering.self_paced import self_paced

__all__ = [
    "ClusterScores",
    "Clustering",
    "Graph",
    "Individuals",
    "Question",
    "Standing",
    "Tree",
    "agreement",
    "alike",
    "average_linkage",
    "cluster",
    "clustering",
    "compare",
    "complete_linkage",
    "dbscan",
    "neighbour_graph",
    "questions",
    "questions_of_table",
    "self_paced",
    "single_linkage",
    "standing",
    "tree",
    "with_those_alone",
]
