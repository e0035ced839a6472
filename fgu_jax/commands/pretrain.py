"""Trains a network with labels of a source dataset: a start for train.py's --init."""

import argparse

from fgu_jax.commands.command_line import (
    Parser,
    add_cache_flag,
    add_config_flags,
    for_this_machine,
    given_fields,
)
from fgu_jax.config.methods import METHODS, SUPERVISED


def parser(prog: str = "pretrain.py") -> Parser:
    """The command line of pretraining."""
    made = Parser(
        prog=prog,
        description=__doc__ + " Whose labels they were, every run says that starts "
        "from its folder.",
        epilog="Values shown are those of the paper without labels; what pretraining "
        "sets stands in docs/methods.md. Example: python experiments/pretrain.py "
        "--dataset=synthetic --seed=1 --workdir=runs/start",
        usage="%(prog)s [--FIELD=VALUE ...]",
    )
    add_config_flags(made, leave_out=("method", *METHODS[SUPERVISED].unused))
    add_cache_flag(made.add_argument_group("Start"))
    return made


def pretrain(arguments: argparse.Namespace) -> None:
    """Resolves the configuration, then hands over to ``fgu_jax.pretrain``."""
    from fgu_jax.config import presets
    from fgu_jax.runs import folder

    given = given_fields(arguments)
    config = folder.own_configuration(given)
    if config is None:
        ours = for_this_machine(given) | {"method": SUPERVISED}
        config = presets.resolve(given | ours)

    import fgu_jax

    fgu_jax.pretrain(config)
