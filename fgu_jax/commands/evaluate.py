"""Retrieval figures of a trained network: global, local and fused features."""

import argparse
from pathlib import Path

from fgu_jax.commands.command_line import Parser, add_cache_flag, add_field_flag
from fgu_jax.errors import InputError

# Fields of the run's configuration that evaluation reads, and a user may change.
_FIELDS = (
    "dataset",
    "data_dir",
    "pattern",
    "identities",
    "holdout_identities",
    "difficulty",
    "seed",
    "skip_bad",
    "stream",
)


def parser(prog: str = "evaluate.py") -> Parser:
    """The command line of evaluation."""
    made = Parser(
        prog=prog,
        description=__doc__
        + " The dataset and its options are those of the run, unless given here.",
        epilog="Example: python experiments/evaluate.py --checkpoint=runs/synthetic "
        "--rerank",
    )
    add = made.add_argument
    add("--checkpoint", required=True, help="a run's folder, or an exported one")
    for name in _FIELDS:
        add_field_flag(made, name)
    add(
        "--average_precision",
        choices=("hits", "trapezoid", "both"),
        help="AP: mean precision at hits, the trapezoid of 2015, or a column of each "
        "(the run's)",
    )
    add(
        "--by",
        choices=("image", "track"),
        default="image",
        help="what is ranked: images, or tracks ({track} of the pattern, a table's "
        "column) by their mean (image)",
    )
    add("--rerank", action="store_true", help="re-ranked figures too (k-reciprocal)")
    add("--k1", type=int, default=20, help="of re-ranking (20)")
    add("--k2", type=int, default=6, help="of re-ranking (6)")
    add("--lambda_value", type=float, default=0.3, help="of re-ranking (0.3)")
    add(
        "--output",
        type=Path,
        metavar="FILE",
        help="the JSON, replaced if it is there (evaluation-DATASET.json in the "
        "checkpoint's folder; of another folder than the run's, by its name)",
    )
    add_cache_flag(made)
    return made


def evaluate(arguments: argparse.Namespace) -> None:
    """Reads the dataset, ranks, prints the table, writes the JSON."""
    from rich.console import Console

    from fgu_jax import files
    from fgu_jax.evaluation import score
    from fgu_jax.inference import embedder
    from fgu_jax.progress import bar
    from fgu_jax.runs import labels
    from fgu_jax.training.images import read_dataset

    network = embedder.load(arguments.checkpoint)
    given = {k: v for k, v in vars(arguments).items() if k in _FIELDS}
    config = score.dataset_config(network.config, given)
    output = arguments.output or (
        Path(arguments.checkpoint) / score.file_name(network.config, config)
    )
    try:
        files.check_output(output, overwrite=True, endings=(".json",))
    except InputError as error:
        if arguments.output is not None:
            raise
        raise InputError(f"{error}: name another file with --output") from error
    wanted = arguments.average_precision or config.average_precision
    both = ("hits", "trapezoid")
    console = Console(highlight=False, soft_wrap=True)
    with bar(console) as progress:
        dataset = read_dataset(config, progress)
        for line in dataset.reading.lines() if dataset.reading else ():
            console.print(line, markup=False)
        used = labels.used(arguments.checkpoint)
        queries = dataset.query_labels
        labels.check(
            config,
            used,
            train=None,
            test=None if queries is None else queries.identities,
        )
        found = score.score(
            network,
            dataset,
            average_precisions=both if wanted == "both" else (wanted,),
            reranking=score.Reranking(
                k1=arguments.k1,
                k2=arguments.k2,
                lambda_value=arguments.lambda_value,
            )
            if arguments.rerank
            else None,
            by_track=arguments.by == "track",
            stream=config.stream,
            with_labels=labels.told(network.config, used),
            progress=progress,
        )
    score.write_score(output, found, network)
    score.print_score(console, found)
    console.print(f"in {output}", markup=False, soft_wrap=True)
