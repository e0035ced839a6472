"""Features of every image in a folder, as an .npz or a .csv file."""

import argparse
from pathlib import Path

from fgu_jax.commands.command_line import (
    Parser,
    add_folder_flags,
    add_writing_flags,
)


def parser(prog: str = "embed.py") -> Parser:
    """The command line of embedding."""
    made = Parser(
        prog=prog,
        description=__doc__,
        epilog="Example: python experiments/embed.py --checkpoint=runs/synthetic "
        "--images=photos --output=features.npz",
    )
    add_folder_flags(made, "the .npz or .csv file to write")
    made.add_argument(
        "--pattern",
        metavar="FILE",
        help="a CSV file such as metadata.csv: its rows are the images, and boxes are "
        "cropped",
    )
    made.add_argument(
        "--part",
        default="fused",
        choices=("fused", "global", "local"),
        help="which feature (fused)",
    )
    add_writing_flags(made)
    return made


def embed(arguments: argparse.Namespace) -> None:
    """Checks the output, embeds the folder, writes names and features."""
    from rich.console import Console

    from fgu_jax import files
    from fgu_jax.config.located import read_as
    from fgu_jax.inference import embedder, feature_file, folder
    from fgu_jax.progress import bar

    output = Path(arguments.output)
    endings = (".npz", ".csv")
    files.check_output(output, overwrite=arguments.overwrite, endings=endings)
    network = embedder.load(arguments.checkpoint)
    console = Console(highlight=False, soft_wrap=True)
    with bar(console) as progress:
        found = folder.embed_folder(
            network,
            arguments.images,
            part=arguments.part,
            skip_bad=arguments.skip_bad,
            **read_as(arguments.pattern, arguments.images),
            progress=progress,
        )
    feature_file.write_features(output, found, network, part=arguments.part)
    for line in found.reading.lines() if found.reading else ():
        console.print(line, markup=False)
    count, width = found.features.shape
    console.print(f"{count} images, {width} numbers each, in {output}", markup=False)
