"""Search: images against a folder of images, by a trained network.

``search`` ranks, ``write_result`` makes ``matches.json`` and a page with the pictures,
``print_matches`` a table for the console.
"""

from fgu_jax.searching.features import FeatureCache
from fgu_jax.searching.match import Matches, search
from fgu_jax.searching.result import (
    check_result_folder,
    print_grey,
    print_matches,
    result_folder,
    write_result,
)

__all__ = [
    "FeatureCache",
    "Matches",
    "check_result_folder",
    "print_grey",
    "print_matches",
    "result_folder",
    "search",
    "write_result",
]
