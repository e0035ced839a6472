"""A page that asks a person about the pairs of images whose answer changes most."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fgu_jax.commands.command_line import Parser, add_writing_flags
from fgu_jax.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from fgu_jax.data import Dataset, ImageSet
    from fgu_jax.inference.embedder import Embedder
    from fgu_jax.progress import Progress
    from fgu_jax.reviewing import Review

_ALIKE = 4  # of each cluster: the others that the page shows beside it


def parser(prog: str = "review.py") -> Parser:
    """The command line of a review."""
    made = Parser(
        prog=prog,
        description=__doc__
        + " It opens by double click, asks by key, merges, splits and names clusters, "
        "and saves answers.csv, which cluster.py --answers honours.",
        epilog="Example: python experiments/review.py --clusters=clusters.csv "
        "--features=features.npz --images=photos --output=review",
    )
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
        "--pattern",
        help="what names say, such as {identity}_c{camera}*.jpg, or a CSV file: "
        "cameras, and boxes that are cropped; identities are not shown",
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


class _Given(NamedTuple):
    """What is reviewed: pictures, features where there are some, cameras."""

    images: "ImageSet"
    names: tuple[str, ...]
    features: "np.ndarray | None"
    cameras: "np.ndarray | None"


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
        f"{len(made.questions):,} questions, {within:,} within clusters and "
        f"{len(made.questions) - within:,} between two; {output / 'index.html'}",
        markup=False,
    )


def _check(arguments: argparse.Namespace) -> None:
    """Refuses flags that do not go together, before any work is done."""
    given = {k for k, v in vars(arguments).items() if v not in (None, False)}
    if {"features", "checkpoint"} <= given:
        raise InputError("--features and --checkpoint: give one of them")
    if not given & {"features", "checkpoint", "clusters"}:
        raise InputError(
            "give --clusters=clusters.csv, --features=FILE.npz or --checkpoint=RUN, "
            "and --images=FOLDER"
        )
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
    from fgu_jax.runs.clusters import read_clusters

    network = arguments.checkpoint and embedder.load(arguments.checkpoint)
    dataset = _dataset(arguments, network, progress)
    images, labels = dataset.train, dataset.train_labels
    names, features = images.names, None
    if arguments.features is not None:
        found = read_features(arguments.features, arguments.names)
        names, features = found.names, found.features
    elif network is None:
        names = read_clusters(Path(arguments.clusters)).names
    where = str(arguments.images or arguments.checkpoint)
    chosen = pictures(images, names, where)
    cameras = None
    if labels is not None and labels.cameras is not None:
        row_of = {name: row for row, name in enumerate(images.names)}
        cameras = labels.cameras[[row_of[name] for name in chosen.names]]
    if network is not None:
        part = arguments.part or "fused"
        parts = network.of_set(chosen, (part,), stream="always", progress=progress)
        features = parts[part]
    return _Given(chosen, names, features, cameras), (
        dataset.reading.lines() if dataset.reading else ()
    )


def _dataset(
    arguments: argparse.Namespace, network: "Embedder | None", progress: "Progress"
) -> "Dataset":
    from fgu_jax.config.located import find_table, is_table
    from fgu_jax.data import load_dataset
    from fgu_jax.training.images import read_dataset

    if arguments.images is None and network is not None:
        return read_dataset(network.config, progress)
    if not Path(arguments.images).is_dir():
        raise InputError(f"images {arguments.images!r} is not a folder: name one")
    pattern, table = arguments.pattern, None
    if pattern is not None and is_table(pattern):
        table = find_table(pattern, arguments.images)
        pattern = None
    return load_dataset(
        "folder",
        data_dir=arguments.images,
        skip_bad=arguments.skip_bad,
        pattern=pattern,
        table=table,
        progress=progress,
    )


def _asked(
    arguments: argparse.Namespace, given: _Given
) -> tuple["Review", Sequence[str]]:
    """The clusters, and what to ask about them."""
    from fgu_jax import clustering
    from fgu_jax.clustering.questions import Members, typical
    from fgu_jax.evaluation.clusters import lines
    from fgu_jax.reviewing import Review
    from fgu_jax.runs.answers import read_answers

    answers = read_answers(arguments.answers, given.names)
    must, cannot = answers.must_link, answers.cannot_link
    ask = {"most": arguments.questions, "must_link": must, "cannot_link": cannot}
    table = _table(arguments, given)
    told: Sequence[str] = ()
    if given.features is None:
        labels, confidence, nearest = table
        asked = clustering.questions_of_table(labels, confidence, nearest, **ask)
        middles, alike = _of_table(labels, confidence, nearest)
    else:
        cameras = given.cameras if arguments.use_cameras else None
        if arguments.use_cameras and cameras is None:
            raise InputError(
                f"--use_cameras, but {arguments.pattern!r} tells no camera: add "
                "{camera} to it, or leave --use_cameras out"
            )
        if table is None:
            made = clustering.clustering(
                given.features,
                max_distance=arguments.distance,
                cameras=cameras,
                must_link=must,
                cannot_link=cannot,
            )
            told = lines(made, None)
            labels, graph = made.labels, made.graph.similarities
        else:
            labels = table[0]
            graph = clustering.neighbour_graph(given.features, cameras=cameras)
        asked = clustering.questions(graph, labels, **ask)
        middles = [typical(graph, rows)[0] for rows in Members(labels).all()]
        alike = _most_alike(graph, labels)
    return (
        Review(
            names=given.names,
            labels=labels,
            questions=asked,
            typical=_array(middles),
            alike=alike,
            answers=answers,
            cameras=_spelt(given),
            about=f"Pictures of {arguments.images or 'the run'}.",
            command=_command(arguments),
        ),
        told,
    )


def _array(rows):
    import numpy as np

    return np.array(rows, np.int64)


def _spelt(given: _Given) -> list[str]:
    if given.cameras is None:
        return [""] * len(given.names)
    return [str(camera) if camera else "" for camera in given.cameras.tolist()]


def _table(arguments: argparse.Namespace, given: _Given):
    """Labels, confidence and nearest of ``--clusters``, row by row as the images."""
    from fgu_jax.clustering.links import by_first_row
    from fgu_jax.runs.clusters import read_clusters

    if arguments.clusters is None:
        return None
    table = read_clusters(Path(arguments.clusters))
    row_of = {name: row for row, name in enumerate(table.names)}
    gone = [name for name in given.names if name not in row_of]
    if gone:
        raise InputError(
            f"{arguments.clusters} has {len(table.names):,} images, and "
            f"{len(gone):,} of {len(given.names):,} are not among them, such as "
            f"{gone[0]!r}: cluster again, or give what it was made of"
        )
    rows = _array([row_of[name] for name in given.names])
    labels = by_first_row(table.clusters[rows])
    new = dict(zip(table.clusters[rows].tolist(), labels.tolist(), strict=True))
    nearest = [new.get(old, -1) for old in table.nearest[rows].tolist()]
    return labels, table.confidence[rows], _array(nearest)


def _of_table(labels, confidence, nearest):
    """Of each cluster its most confident image, and the clusters nearest to it."""
    import numpy as np

    from fgu_jax.clustering.questions import Members

    middles, alike = [], []
    for rows in Members(labels).all():
        middles.append(rows[np.argmax(confidence[rows])])
        others, votes = np.unique(nearest[rows], return_counts=True)
        ranked = others[np.argsort(-votes, kind="stable")]
        alike.append(ranked[ranked >= 0][:_ALIKE].tolist())
    return middles, alike


def _most_alike(graph, labels) -> list[list[int]]:
    """Of each cluster the others that are most similar on the mean."""
    from fgu_jax.clustering import alike

    found: list[list[int]] = [[] for _ in range(int(labels.max(initial=-1)) + 1)]
    pairs, _ = alike(graph, labels, most=max(1, graph.nnz))
    for a, b in pairs.tolist():
        for one, other in ((a, b), (b, a)):
            if len(found[one]) < _ALIKE:
                found[one].append(other)
    return found


def _command(arguments: argparse.Namespace) -> str:
    """What to run with the answers, as far as it is known."""
    said = ["cluster.py"]
    for flag in ("features", "names", "checkpoint", "part", "pattern", "distance"):
        if getattr(arguments, flag) is not None:
            said.append(f"--{flag}={getattr(arguments, flag)}")
    if arguments.checkpoint is not None:
        said.append(f"--images={arguments.images or 'FOLDER'}")
    if arguments.features is None and arguments.checkpoint is None:
        said.append("...")
    said += ["--use_cameras"] * arguments.use_cameras
    return " ".join([*said, "--answers=answers.csv", "--output=clusters.csv"])
