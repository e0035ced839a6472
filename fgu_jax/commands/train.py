"""Trains a re-identification network without labels; every flag is a config field."""

import argparse

from fgu_jax.commands.command_line import (
    Parser,
    add_cache_flag,
    add_config_flags,
    for_this_machine,
    given_fields,
)


def parser(prog: str = "train.py") -> Parser:
    """The command line of training."""
    made = Parser(
        prog=prog,
        description=__doc__,
        epilog="Values shown are those of --preset=paper; --preset=quick has others. "
        "Example: python experiments/train.py --dataset=synthetic --seed=1",
        usage="%(prog)s [--FIELD=VALUE ...]",
    )
    add_config_flags(made)
    add_cache_flag(made.add_argument_group("Start"))
    several = made.add_argument_group(
        "Several processes",
        "One on each host; all get the same arguments, and a workdir that all see.",
    )
    several.add_argument(
        "--distributed",
        action="store_true",
        help="join the processes that a TPU pod, SLURM, Open MPI or Kubernetes started",
    )
    several.add_argument(
        "--coordinator",
        metavar="HOST:PORT",
        help="of process 0, where nothing of that kind started them",
    )
    several.add_argument("--num_processes", type=int, metavar="P", help="how many")
    several.add_argument("--process_id", type=int, metavar="I", help="this one, 0..P-1")
    return made


def train(arguments: argparse.Namespace) -> None:
    """Resolves the configuration, then hands over to ``fgu_jax.fit``."""
    from fgu_jax.config import presets
    from fgu_jax.runs import folder

    given: dict[str, str] = given_fields(arguments)
    by_hand = (arguments.coordinator, arguments.num_processes, arguments.process_id)
    if any(value is not None for value in by_hand) or arguments.distributed:
        from fgu_jax.parallel import processes

        processes.join(*by_hand)

    import fgu_jax

    config = folder.own_configuration(given)
    if config is None:
        config = presets.resolve(given | for_this_machine(given))
    fgu_jax.fit(config)
