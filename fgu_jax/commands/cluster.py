"""Clusters the images of any folder with a trained network."""

import argparse
from pathlib import Path

from fgu_jax.commands.command_line import (
    Parser,
    add_folder_flags,
    add_writing_flags,
)
from fgu_jax.runs.clusters import write_clusters


def parser(prog: str = "cluster.py") -> Parser:
    """The command line of clustering."""
    made = Parser(
        prog=prog,
        description=__doc__
        + " Without --clusters and --distance their number is where the mean "
        "silhouette of the images is greatest, which needs no label.",
        epilog="Example: python experiments/cluster.py --checkpoint=runs/synthetic "
        "--images=photos --output=clusters.csv",
    )
    add_folder_flags(made, "the CSV to write: image, cluster, confidence (0..1)")
    stop = made.add_mutually_exclusive_group()
    stop.add_argument("--clusters", type=int, metavar="K", help="how many, 2 or more")
    stop.add_argument(
        "--distance", type=float, metavar="D", help="merge up to this distance, 0..2"
    )
    made.add_argument(
        "--criterion",
        default="average",
        choices=("average", "min", "max", "centroid", "median"),
        help="distance between clusters (%(default)s); min alone needs no matrix of "
        "all pairs, for very many images, but runs clusters together",
    )
    made.add_argument(
        "--part",
        default="global",
        choices=("global", "fused", "local"),
        help="which feature (%(default)s, as in training)",
    )
    add_writing_flags(made)
    return made


def cluster(arguments: argparse.Namespace) -> None:
    """Checks the output, embeds the folder, groups, writes."""
    from rich.console import Console

    from fgu_jax import files
    from fgu_jax.clustering import choose, confidence
    from fgu_jax.inference import embedder, folder
    from fgu_jax.progress import bar

    output = Path(arguments.output)
    files.check_output(output, overwrite=arguments.overwrite, endings=(".csv",))
    choose.check_wanted(arguments.clusters, arguments.distance)
    network = embedder.load(arguments.checkpoint)
    console = Console(highlight=False, soft_wrap=True)
    with bar(console) as progress:
        found = folder.embed_folder(
            network,
            arguments.images,
            part=arguments.part,
            skip_bad=arguments.skip_bad,
            progress=progress,
        )
        grouped = choose.group(
            found.features,
            number=arguments.clusters,
            distance=arguments.distance,
            criterion=arguments.criterion,
            progress=progress,
        )
    sure = confidence.confidences(found.features, grouped.labels)
    write_clusters(output, found.names, grouped.labels, sure)
    for line in found.reading.lines():
        console.print(line, markup=False)
    if grouped.tried:
        shown = ", ".join(f"{number}: {value:.3f}" for number, value in grouped.tried)
        console.print(f"silhouette by number of clusters: {shown}", markup=False)
    console.print(
        f"{len(found.names)} images in {grouped.num_clusters} clusters, mean "
        f"confidence {sure.mean():.2f}, in {output}",
        markup=False,
    )
