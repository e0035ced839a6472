"""Searches a folder of images for those that show what a query image shows."""

import argparse
from pathlib import Path
from typing import Any

from fgu_jax.commands.command_line import Parser, add_cache_flag
from fgu_jax.messages import counted


def parser(prog: str = "search.py") -> Parser:
    """The command line of a search."""
    made = Parser(
        prog=prog,
        description=__doc__,
        epilog="Example: python experiments/search.py --checkpoint=runs/synthetic "
        "--query=person.jpg --gallery=photos --output=found",
    )
    add = made.add_argument
    add(
        "--checkpoint",
        required=True,
        type=Path,
        help="a run's folder, or an exported one",
    )
    add("--query", required=True, type=Path, help="an image, or a folder of images")
    add("--gallery", required=True, type=Path, help="the folder that is searched")
    add(
        "--output",
        required=True,
        type=Path,
        help="folder for index.html, matches.json, matches.csv and thumbnails; must "
        "not exist",
    )
    add("--top", type=int, default=20, help="matches of each query (%(default)s)")
    add(
        "--max_distance",
        type=float,
        metavar="D",
        help="farther images are no match, 0..2, and a query may have none; "
        "evaluate.py says which distance few strangers come within",
    )
    add("--overwrite", action="store_true", help="replace an older result in output")
    add(
        "--cache",
        metavar="FILE",
        help="where features are kept for the next search (search_cache.sqlite in "
        "the checkpoint's folder), or none; it may be deleted at any time",
    )
    add_cache_flag(made)
    return made


def search(arguments: argparse.Namespace) -> None:
    """Checks the output, loads the network, ranks, writes, prints."""
    from rich.console import Console

    import fgu_jax
    from fgu_jax import searching
    from fgu_jax.progress import bar

    console = Console(highlight=False, soft_wrap=True)
    checkpoint: Path = arguments.checkpoint
    cache_file = Path(arguments.cache or checkpoint / "search_cache.sqlite")
    rules: dict[str, Any] = {
        "overwrite": arguments.overwrite,
        "apart_from": (arguments.query, arguments.gallery),
    }
    searching.check_result_folder(arguments.output, **rules)
    network = fgu_jax.load(checkpoint)
    with (
        bar(console) as progress,
        searching.FeatureCache(
            None if arguments.cache == "none" else cache_file, network.identity
        ) as cache,
    ):
        matches = searching.search(
            network,
            arguments.query,
            arguments.gallery,
            top=arguments.top,
            max_distance=arguments.max_distance,
            cache=cache,
            progress=progress,
        )
        with searching.result_folder(arguments.output, **rules) as folder:
            grey = searching.write_result(
                folder,
                matches,
                network=str(checkpoint),
                shape=network.size,
                progress=progress,
            )
    searching.print_matches(console, matches)
    searching.print_grey(console, grey)
    if cache.trouble:
        console.print(cache.trouble, markup=False)
    new = len(matches.gallery.names) - matches.gallery.num_cached
    if arguments.max_distance is not None:
        console.print(
            f"{matches.num_without:,} queries without another image within "
            f"{arguments.max_distance:g}",
            markup=False,
        )
    console.print(
        f"{counted(len(matches.query.names), 'query')}, "
        f"{counted(len(matches.gallery.names), 'gallery image')} ({new:,} new to the "
        f"cache); {arguments.output / 'index.html'}",
        markup=False,
    )
