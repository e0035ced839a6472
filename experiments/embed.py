"""Features of every image in a folder, as an .npz file."""

import argparse
from pathlib import Path

from fgu_jax.commands.command_line import Parser, add_cache_flag, main


def parser() -> Parser:
    """The command line of embedding."""
    made = Parser(
        prog="embed.py",
        description=__doc__,
        epilog="Example: python experiments/embed.py --checkpoint=runs/synthetic "
        "--images=photos --output=features.npz",
    )
    made.add_argument(
        "--checkpoint", required=True, help="a run's folder, or an exported one"
    )
    made.add_argument("--images", required=True, help="any tree of images")
    made.add_argument("--output", required=True, help="the .npz file to write")
    made.add_argument(
        "--part",
        default="fused",
        choices=("fused", "global", "local"),
        help="which feature (fused)",
    )
    made.add_argument(
        "--skip_bad",
        action="store_true",
        help="go on without images that cannot be read",
    )
    made.add_argument(
        "--overwrite", action="store_true", help="replace an output that exists"
    )
    add_cache_flag(made)
    return made


def embed(arguments: argparse.Namespace) -> None:
    """Checks the output, embeds the folder, writes names and features."""
    from rich.console import Console

    from fgu_jax import files
    from fgu_jax.inference import embedder
    from fgu_jax.inference import folder as feature_file
    from fgu_jax.inference import folder as folder_features
    from fgu_jax.progress import bar

    output = Path(arguments.output)
    files.check_output(output, overwrite=arguments.overwrite)
    network = embedder.load(arguments.checkpoint)
    console = Console(highlight=False, soft_wrap=True)
    with bar(console) as progress:
        found = folder_features.embed_folder(
            network,
            arguments.images,
            part=arguments.part,
            skip_bad=arguments.skip_bad,
            progress=progress,
        )
    feature_file.write_features(output, found, network, part=arguments.part)
    for name, reason in found.skipped.items():
        console.print(f"left out {name!r}: {reason}", markup=False)
    count, width = found.features.shape
    console.print(f"{count} images, {width} numbers each, in {output}", markup=False)


if __name__ == "__main__":
    main(embed, parser())
