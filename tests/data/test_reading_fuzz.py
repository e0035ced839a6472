"""Drawn trees and tables: images taken and left out are all files that are there."""

import importlib.util
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

spec = importlib.util.spec_from_file_location(
    "fuzz_trees", Path(__file__).parents[1] / "fuzz" / "trees.py"
)
trees = importlib.util.module_from_spec(spec)
spec.loader.exec_module(trees)
chances = st.randoms(use_true_random=False)


@settings(max_examples=150, deadline=trees.SECONDS * 1000)
@given(chances)
def test_every_file_of_a_tree_is_accounted_for(rng):
    with tempfile.TemporaryDirectory() as root:
        trees.try_tree(rng, Path(root))


@settings(max_examples=300, deadline=trees.SECONDS * 1000)
@given(chances)
def test_every_file_beside_a_table_is_accounted_for(rng):
    trees.try_table(rng)


def test_the_check_can_fail():
    tree = trees.NamedTree(["a.jpg"])
    with pytest.raises(AssertionError, match="lost"):
        trees.check(tree, {"a.jpg", ".x", "lost"})
