"""A page that asks a person about the pairs of images whose answer changes most."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fgu_jax.commands.command_line import Parser, add_writing_flags
from fgu_jax.errors import InputError
from fgu_jax.messages import counted

if TYPE_CHECKING:
    import numpy as np

    from fgu_jax.data import Dataset, ImageSet
    from fgu_jax.inference.embedder import Embedder
    from fgu_jax.progress import Progress
    from fgu_jax.reviewing import Review
    from fgu_jax.training.together import Together

_NEEDS = (
    "give --clusters=clusters.csv, --features=FILE.npz or --checkpoint=RUN, and "
    "--images=FOLDER"
)


def parser(prog: str = "review.py") -> Parser:
    """The command line of a review."""
    made = Parser(
        prog=prog,
        description=__doc__
        + " It opens by double click, asks by key, merges, splits and names clusters, "
        "and saves answers.csv: the --answers of cluster.py, and of the next page.",
        epilog="Example: python experiments/review.py --clusters=clusters.csv "
        "--features=features.npz --images=photos --output=review",
    )
    _add_inputs(made)
    add = made.add_argument
    add(
        "--output",
        required=True,
        metavar="FOLDER",
        help="the folder to write: index.html, thumbnails, questions.json",
    )
    add(
        "--answers",
        metavar="FILE",
        help="what was answered before: not asked again, and saved with the new ones",
    )
    add(
        "--questions",
        type=int,
        default=200,
        metavar="N",
        help="how many at the most (%(default)s); the first count most",
    )
    add(
        "--use_cameras",
        action="store_true",
        help="centre features by camera before they are compared; needs --pattern",
    )
    add(
        "--distance",
        type=float,
        metavar="D",
        help="merge up to this mean Jaccard distance, 0..1 (0.73)",
    )
    add_writing_flags(made)
    return made


def _add_inputs(made: Parser) -> None:
    """The flags of what is reviewed."""
    add = made.add_argument
    add(
        "--images",
        metavar="FOLDER",
        help="the pictures: any tree of images; a run's own, where --checkpoint alone "
        "is given",
    )
    add(
        "--clusters",
        metavar="FILE",
        help="a clusters.csv of cluster.py, to be reviewed as it is; without it, "
        "clusters are made as cluster.py makes them, and then --answers are honoured",
    )
    add(
        "--features",
        metavar="FILE",
        help="what pairs are compared by: an .npz of names and features, as of "
        "cluster.py. With neither it nor --checkpoint the columns of --clusters tell "
        "what to ask, less well",
    )
    add("--names", metavar="FILE", help="of --features: a file of one name a line")
    add("--checkpoint", help="in their place: a run's folder, or an exported one")
    add(
        "--part",
        choices=("fused", "global", "local"),
        help="which feature of the network (fused)",
    )
    add(
        "--pattern",
        help="what names say, such as {identity}_c{camera}*.jpg, or a CSV file: "
        "cameras, boxes that are cropped, tracks as of cluster.py; identities are not "
        "shown",
    )
    add(
        "--ignore_tracks",
        action="store_true",
        help="ask about each image by itself, whatever tracks and boxes say",
    )


class _Given(NamedTuple):
    """What is reviewed: pictures, features where there are some, cameras."""

    images: "ImageSet"
    names: tuple[str, ...]
    features: "np.ndarray | None"
    cameras: "np.ndarray | None"
    camera_names: "Mapping[int, str]"
    together: "Together"


def review(arguments: argparse.Namespace) -> None:
    """Checks the output, reads, asks, writes, tells."""
    from rich.console import Console

    from fgu_jax import files
    from fgu_jax.progress import bar
    from fgu_jax.reviewing import is_review, write_review

    _check(arguments)
    output = Path(arguments.output)
    files.check_output(output, overwrite=arguments.overwrite, ours=is_review)
    _check_apart(output, arguments.images)
    console = Console(highlight=False, soft_wrap=True)
    with bar(console) as progress:
        given, lines = _read(arguments, progress)
        for line in lines:
            console.print(line, markup=False)
        made, told = _asked(arguments, given)
        for line in told:
            console.print(line, markup=False)
        with files.whole_folder(output) as folder:
            shown = write_review(folder, made, given.images, progress=progress)
    bad = [(n, s) for n, s in zip(given.names, shown, strict=True) if s.trouble]
    if bad:
        name, first = bad[0]
        console.print(
            f"{len(bad)} images cannot be read and are grey on the page, such as "
            f"{name!r}: {first.trouble}",
            markup=False,
        )
    within = sum(question.within for question in made.questions)
    console.print(
        f"{counted(len(made.questions), 'question')}, {within:,} within clusters and "
        f"{len(made.questions) - within:,} between two; {output / 'index.html'}",
        markup=False,
    )


def _check(arguments: argparse.Namespace) -> None:
    """Refuses flags that do not go together, before any work is done."""
    given = {k for k, v in vars(arguments).items() if v not in (None, False)}
    if {"features", "checkpoint"} <= given:
        raise InputError("--features and --checkpoint: give one of them")
    if not given & {"features", "checkpoint", "clusters"}:
        raise InputError(_NEEDS)
    if "images" not in given and "checkpoint" not in given:
        raise InputError("no --images: name the folder that the pictures lie in")
    for flag, needs in (("names", "features"), ("part", "checkpoint")):
        if flag in given and needs not in given:
            raise InputError(f"--{flag} goes with --{needs}: leave it out")
    if arguments.clusters is not None and arguments.clusters.isdecimal():
        raise InputError(
            f"--clusters={arguments.clusters} is a number: name a clusters.csv, made "
            f"by cluster.py --clusters={arguments.clusters}"
        )
    if arguments.clusters is not None and "distance" in given:
        raise InputError("--clusters and --distance: give one of them")
    if "use_cameras" in given and not (
        "pattern" in given and given & {"features", "checkpoint"}
    ):
        raise InputError(
            "--use_cameras needs features to centre and --pattern, which says where "
            "names hold the camera, as in --pattern={identity}_c{camera}*.jpg"
        )
    if arguments.distance is not None and not 0 <= arguments.distance <= 1:
        raise InputError(
            f"distance is {arguments.distance}: give 0 to 1, a mean Jaccard distance"
        )
    if arguments.questions < 1:
        raise InputError(f"questions is {arguments.questions}: give 1 or more")


def _check_apart(output: Path, images: str | None) -> None:
    """The page must not lie among the images that the next command reads."""
    if images is None:
        return
    a, b = output.resolve(), Path(images).resolve()
    if a == b or b in a.parents or a in b.parents:
        raise InputError(
            f"output {str(output)!r} and images {images!r} lie in one another: name an "
            "output elsewhere"
        )


def _read(
    arguments: argparse.Namespace, progress: "Progress"
) -> tuple[_Given, Sequence[str]]:
    """Pictures and features, row by row the same, and what is told of the reading."""
    from fgu_jax.inference import embedder
    from fgu_jax.inference.feature_file import read_features
    from fgu_jax.reviewing import pictures
    from fgu_jax.runs.answers import read_answers
    from fgu_jax.runs.clusters import read_clusters
    from fgu_jax.training.together import Together, with_tracks

    network = arguments.checkpoint and embedder.load(arguments.checkpoint)
    dataset = _dataset(arguments, network, progress)
    images, labels = dataset.train, dataset.train_labels
    names, features = images.names, None
    if arguments.features is not None:
        found = read_features(arguments.features, arguments.names)
        names, features = found.names, found.features
    elif network is None:
        names = read_clusters(Path(arguments.clusters), images.names).names
    where = str(arguments.images or arguments.checkpoint)
    chosen, told = pictures(images, names, where)
    if labels is not None:
        row_of = {name: row for row, name in enumerate(images.names)}
        labels = labels.take(row_of[name] for name in chosen.names)
    answers = read_answers(arguments.answers, names)
    together = Together(answers)
    if not arguments.ignore_tracks:
        together = with_tracks(answers, labels, names, chosen.keys)
    if network is not None:
        part = arguments.part or "fused"
        parts = network.of_set(chosen, (part,), stream="always", progress=progress)
        features = parts[part]
    cameras = None if labels is None else labels.cameras
    read = dataset.reading.lines() if dataset.reading else []
    shown = set(chosen.names)
    rest = [name for name in images.names if name not in shown]
    if rest:
        read = [
            *read,
            f"{len(rest):,} of {len(images):,} images are not on the page, as "
            f"{arguments.features or arguments.clusters} does not have them, such as "
            f"{min(rest)!r}",
        ]
    given = _Given(chosen, names, features, cameras, dataset.camera_names, together)
    return given, [*read, *told, *together.lines()]


def _dataset(
    arguments: argparse.Namespace, network: "Embedder | None", progress: "Progress"
) -> "Dataset":
    from fgu_jax.config.located import read_as
    from fgu_jax.inference.folder import read_folder
    from fgu_jax.training.images import read_dataset

    if arguments.images is None and network is not None:
        return read_dataset(network.config, progress)
    labels = read_as(arguments.pattern, arguments.images)
    return read_folder(
        arguments.images, skip_bad=arguments.skip_bad, **labels, progress=progress
    )


def _asked(
    arguments: argparse.Namespace, given: _Given
) -> tuple["Review", Sequence[str]]:
    """The clusters, and what to ask about them; what is told of them."""
    from fgu_jax import reviewing
    from fgu_jax.evaluation.clusters import lines
    from fgu_jax.runs.clusters import read_clusters

    answers, table = given.together.answers, None
    if arguments.clusters is not None:
        whole = read_clusters(Path(arguments.clusters), given.names)
        table = reviewing.rows_of(whole, given.names, arguments.clusters)
    if given.features is not None:
        if arguments.use_cameras and given.cameras is None:
            raise InputError(
                f"--use_cameras, but {arguments.pattern!r} tells no camera: add "
                "{camera} to it, or leave --use_cameras out"
            )
        asked = reviewing.asked_by_features(
            given.features,
            answers,
            most=arguments.questions,
            table=table,
            max_distance=arguments.distance,
            cameras=given.cameras if arguments.use_cameras else None,
            tracks=given.together.tracks,
            apart=given.together.apart,
        )
    elif table is None:
        raise InputError(_NEEDS)
    else:
        asked = reviewing.asked_by_table(table, answers, most=arguments.questions)
    made = reviewing.Review(
        names=given.names,
        labels=asked.labels,
        questions=asked.questions,
        typical=asked.typical,
        alike=asked.alike,
        answers=answers,
        cameras=_spelt(given),
        about=f"Pictures of {arguments.images or 'the run'}.",
        command=reviewing.next_command(vars(arguments)),
    )
    told = [] if asked.made is None else lines(asked.made, None)
    return made, [*(table.notes if table else ()), *told]


def _spelt(given: _Given) -> list[str]:
    if given.cameras is None:
        return [""] * len(given.names)
    called = given.camera_names
    return [called.get(c, str(c)) if c else "" for c in given.cameras.tolist()]
