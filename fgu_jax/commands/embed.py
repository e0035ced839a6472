"""Features of every image in a folder, as an .npz or a .csv file."""

import argparse
from pathlib import Path

from fgu_jax.commands.command_line import (
    Parser,
    add_folder_flags,
    add_writing_flags,
)
from fgu_jax.errors import InputError
from fgu_jax.messages import counted

_OF_BACKBONE = ("init", "image_height", "image_width", "resize")


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
        choices=("fused", "global", "local"),
        help="which feature (fused; global of a --backbone, which has no other)",
    )
    add = made.add_argument_group("A network as it was published").add_argument
    add(
        "--backbone",
        metavar="NAME",
        help="in place of --checkpoint: dinov2_vits14 or dinov2_vitb14, or a backbone "
        "of train.py",
    )
    add(
        "--init",
        metavar="WEIGHTS",
        help="its weights: a .safetensors or .pth file, or lvd142m (DINOv2) or "
        "imagenet, from the Hugging Face hub (the default)",
    )
    for name in ("height", "width"):
        add(
            f"--image_{name}",
            type=int,
            metavar="PIXELS",
            help="of its images, resized; of DINOv2 a multiple of 14 (224)",
        )
    add(
        "--resize",
        choices=("squash", "pad"),
        help="squash to that size, or keep the proportions with grey beside (squash)",
    )
    add_writing_flags(made)
    return made


def embed(arguments: argparse.Namespace) -> None:
    """Checks the output, embeds the folder, writes names and features."""
    from rich.console import Console

    from fgu_jax import files
    from fgu_jax.config.located import read_as
    from fgu_jax.inference import embedder, feature_file, folder
    from fgu_jax.inference.pretrained import load_pretrained
    from fgu_jax.progress import bar

    _check(arguments)
    output = Path(arguments.output)
    endings = (".npz", ".csv")
    files.check_output(output, overwrite=arguments.overwrite, endings=endings)
    console = Console(highlight=False, soft_wrap=True)
    labels = read_as(arguments.pattern, arguments.images)
    with bar(console) as progress:
        dataset = folder.read_folder(
            arguments.images, skip_bad=arguments.skip_bad, **labels, progress=progress
        )
    if arguments.backbone is None:
        network, part = embedder.load(arguments.checkpoint), arguments.part or "fused"
    else:
        given = {name: getattr(arguments, name) for name in _OF_BACKBONE}
        given = {name: value for name, value in given.items() if value is not None}
        network, report = load_pretrained(arguments.backbone, **given)
        part = "global"
        for line in report.lines():
            console.print(line, markup=False)
    with bar(console) as progress:
        found = folder.embed_folder(network, dataset, part=part, progress=progress)
    feature_file.write_features(output, found, network, part=part)
    for line in found.reading.lines() if found.reading else ():
        console.print(line, markup=False)
    count, width = found.features.shape
    console.print(
        f"{counted(count, 'image')}, {width} numbers each, in {output}", markup=False
    )


def _check(arguments: argparse.Namespace) -> None:
    """Refuses flags that do not go together, before any work is done."""
    checkpoint, backbone = arguments.checkpoint, arguments.backbone
    if (checkpoint is None) == (backbone is None):
        both = "" if checkpoint is None else f", not both ({checkpoint}, {backbone})"
        raise InputError(f"give --checkpoint=RUN or --backbone=NAME{both}")
    if backbone is None:
        for name in _OF_BACKBONE:
            if getattr(arguments, name) is not None:
                raise InputError(
                    f"--{name} goes with --backbone: leave it out, a checkpoint has "
                    "its own"
                )
    elif arguments.part == "local":
        raise InputError(
            f"--part=local with --backbone={backbone}: it has only a global feature, "
            "leave --part out"
        )
