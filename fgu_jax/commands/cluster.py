"""Which images show the same individual: clusters of a folder, or of any features."""

import argparse
import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING

from fgu_jax.commands.command_line import Parser, add_writing_flags
from fgu_jax.errors import InputError
from fgu_jax.messages import counted

if TYPE_CHECKING:
    from fgu_jax.inference.feature_file import Features
    from fgu_jax.progress import Progress


def parser(prog: str = "cluster.py") -> Parser:
    """The command line of clustering."""
    made = Parser(
        prog=prog,
        description=__doc__
        + " Told nothing, it finds their number by itself: docs/clustering.md.",
        epilog="Example: python experiments/cluster.py --checkpoint=runs/synthetic "
        "--images=photos --output=clusters.csv",
    )
    add = made.add_argument
    add("--checkpoint", help="a run's folder, or an exported one; with --images")
    add("--images", help="any tree of images")
    add(
        "--features",
        metavar="FILE",
        help="in their place: an .npz of names and features [images, width] of any "
        "tool (embed.py's, DINOv2's, ...), or an .npy beside --names",
    )
    add("--names", metavar="FILE", help="of --features: a file of one name a line")
    add(
        "--output",
        required=True,
        help="the CSV to write: image, cluster, confidence (0..1), nearest_cluster; "
        "where some identities are known, and some are not, suggested_identity and "
        "new_individual; and all columns of a table given as --pattern",
    )
    add(
        "--pattern",
        help="what names say, such as {identity}_c{camera}_t{track}*.jpg, or a CSV "
        "file: images of one track are kept together, boxes of one picture apart; "
        "known identities give scores and suggestions, and change no cluster",
    )
    add(
        "--use_cameras",
        action="store_true",
        help="centre features by camera before they are compared; needs --pattern",
    )
    add(
        "--ignore_tracks",
        action="store_true",
        help="cluster each image by itself, whatever tracks and boxes say",
    )
    stop = made.add_mutually_exclusive_group()
    stop.add_argument("--clusters", type=int, metavar="K", help="how many")
    stop.add_argument(
        "--distance",
        type=float,
        metavar="D",
        help="merge up to this mean Jaccard distance, 0..1 (0.73)",
    )
    add(
        "--answers",
        metavar="FILE",
        help="what review.py's page saves: a CSV with the columns image, other, same "
        "(yes or no), perhaps name: pairs that are kept together or apart, individuals "
        "by name; what changed by it is told",
    )
    add(
        "--known",
        metavar="FILE",
        help="a clusters.csv whose clusters stay as they are: new images are put into "
        "them, or into new ones",
    )
    add(
        "--known_features",
        metavar="FILE",
        help="features of the images of --known that are not among the new ones",
    )
    add(
        "--part",
        choices=("fused", "global", "local"),
        help="which feature of the network (fused)",
    )
    add_writing_flags(made)
    return made


def cluster(arguments: argparse.Namespace) -> None:
    """Checks the output, has the features, clusters, writes, tells."""
    from rich.console import Console

    from fgu_jax import files
    from fgu_jax.clustering import clustering
    from fgu_jax.evaluation.clusters import (
        about_suggestions,
        changes,
        lines,
        scored,
        suggested,
    )
    from fgu_jax.inference.beside import beside_known
    from fgu_jax.progress import bar
    from fgu_jax.runs.answers import read_answers
    from fgu_jax.runs.clusters import write_clusters
    from fgu_jax.training.together import Together, with_tracks

    _check(arguments)
    output = Path(arguments.output)
    files.check_output(output, overwrite=arguments.overwrite, endings=(".csv",))
    console = Console(highlight=False, soft_wrap=True)
    with bar(console) as progress:
        found = _features(arguments, progress)
    for line in (*(found.reading.lines() if found.reading else ()), *found.notes):
        console.print(line, markup=False)
    cameras = None if found.labels is None else found.labels.cameras
    if arguments.use_cameras and cameras is None:
        raise InputError(
            f"--use_cameras, but {arguments.pattern!r} tells no camera: add {{camera}} "
            "to it, or leave --use_cameras out"
        )
    known, beside, notes = None, None, list[str]()
    if arguments.known is not None:
        beside = beside_known(found, arguments.known, arguments.known_features)
        found, known = beside.features, beside.known
        notes += beside.notes
    answers = read_answers(arguments.answers, found.names)
    together = Together(answers)
    if not arguments.ignore_tracks:
        together = with_tracks(answers, found.labels, found.names, found.pictures)
    if beside is not None and together.tracks is not None:
        tracks, torn = beside.without_torn_tracks(together.tracks)
        notes += torn
        together = dataclasses.replace(together, tracks=tracks)
    of_features = functools.partial(
        clustering,
        found.features,
        max_distance=arguments.distance,
        num_clusters=arguments.clusters,
        cameras=cameras if arguments.use_cameras else None,
        tracks=together.tracks,
        known=known,
    )
    made = of_features(must_link=together.must_link, cannot_link=together.cannot_link)
    who = suggested(made.labels, found.labels, found.identity_names)
    write_clusters(
        output,
        found.names,
        made.labels,
        made.standing,
        individuals=(beside.individuals(made.labels) if beside else {})
        | answers.name_of_clusters(made.labels),
        called=beside and beside.called(made.labels),
        suggested=who,
        columns=found.columns,
    )
    told = [*notes, *together.lines(), *lines(made, scored(made.labels, found.labels))]
    if beside is not None:
        told.append(beside.line(made.labels))
    if who is not None:
        told.append(about_suggestions(made.labels, who))
    if arguments.answers is not None:
        told.append(
            changes(
                of_features(cannot_link=together.apart), made, answers, found.labels
            )
        )
    for line in told:
        console.print(line, markup=False)
    console.print(f"{counted(len(found.names), 'image')}, in {output}", markup=False)


def _check(arguments: argparse.Namespace) -> None:
    """Refuses flags that do not go together, before any work is done."""
    given = {k: v for k, v in vars(arguments).items() if v not in (None, False)}
    of_network = given.keys() & {"checkpoint", "images", "part", "skip_bad"}
    if "features" in given:
        if of_network:
            raise InputError(
                f"--features and --{min(of_network)}: features are ready, leave "
                f"--{min(of_network)} out"
            )
    elif not {"checkpoint", "images"} <= given.keys():
        raise InputError(
            "give --checkpoint=RUN and --images=FOLDER, or --features=FILE.npz"
        )
    elif "names" in given:
        raise InputError("--names goes with --features: leave it out")
    if "use_cameras" in given and "pattern" not in given:
        raise InputError(
            "--use_cameras without --pattern: say where names hold the camera, as in "
            "--pattern={identity}_c{camera}*.jpg"
        )
    if arguments.distance is not None and not 0 <= arguments.distance <= 1:
        raise InputError(
            f"distance is {arguments.distance}: give 0 to 1, a mean Jaccard distance"
        )
    if "known_features" in given and "known" not in given:
        raise InputError(
            "--known_features without --known: give the clusters.csv of their images"
        )
    if {"known_features", "use_cameras"} <= given.keys():
        raise InputError(
            "--use_cameras with --known_features, whose cameras are not known: give "
            "--images or --features in which the known images are, too"
        )
    if {"known", "clusters"} <= given.keys():
        raise InputError(
            "--clusters with --known: how many there will be is not known before; give "
            "--distance, or leave it out"
        )
    if arguments.clusters is not None and arguments.clusters < 1:
        raise InputError(f"clusters is {arguments.clusters}: give 1 or more")


def _features(arguments: argparse.Namespace, progress: "Progress") -> "Features":
    from fgu_jax.config.located import read_as
    from fgu_jax.inference import embedder, folder
    from fgu_jax.inference.feature_file import read_features

    labels = read_as(arguments.pattern, arguments.images)
    if arguments.features is not None:
        return read_features(arguments.features, arguments.names, **labels)
    dataset = folder.read_folder(
        arguments.images, skip_bad=arguments.skip_bad, **labels, progress=progress
    )
    network = embedder.load(arguments.checkpoint)
    part = arguments.part or "fused"
    return folder.embed_folder(network, dataset, part=part, progress=progress)
