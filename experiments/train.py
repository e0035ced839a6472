"""Trains a re-identification network without labels; every flag is a config field."""

import argparse

from fgu_jax.command_line import Parser, add_config_flags, given_fields, main


def parser() -> Parser:
    """The command line of training."""
    made = Parser(
        prog="train.py",
        description=__doc__,
        epilog="Values shown are those of --preset=paper; --preset=quick has others. "
        "Example: python experiments/train.py --dataset=synthetic --seed=1",
        usage="%(prog)s [--FIELD=VALUE ...]",
    )
    add_config_flags(made)
    return made


def train(arguments: argparse.Namespace) -> None:
    """Resolves the configuration, then hands over to ``fgu_jax.fit``."""
    from fgu_jax import presets

    config = presets.resolve(given_fields(arguments))

    import fgu_jax

    fgu_jax.fit(config)


if __name__ == "__main__":
    main(train, parser())
