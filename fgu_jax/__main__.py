"""``fgu-jax NAME ...`` and ``python -m fgu_jax NAME ...``: the commands, installed."""

import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

from fgu_jax.commands import COMMANDS
from fgu_jax.messages import nearest

PROG = "fgu-jax"


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Hands over to the command that is named; its flags are those of its script."""
    name, *rest = (sys.argv[1:] if argv is None else argv) or [""]
    if name in ("-h", "--help"):
        print(_help())
        sys.exit(0)
    if name not in COMMANDS:
        print(f"{PROG}: {_refusal(name)}", file=sys.stderr)
        sys.exit(2)
    from fgu_jax.commands import command_line
    from fgu_jax.errors import GO_ON

    module = importlib.import_module(f"fgu_jax.commands.{name}")
    parser = module.parser(f"{PROG} {name}")
    for script in (f"python experiments/{name}.py", f"python data_prep/{name}.py"):
        parser.epilog = (parser.epilog or "").replace(script, f"{PROG} {name}")
    go_on = getattr(module, "GO_ON", GO_ON)
    command_line.main(getattr(module, name), parser, rest, go_on=go_on)


def _help() -> str:
    width = max(map(len, COMMANDS)) + 2
    lines = [f"  {name:{width}}{about}" for name, about in COMMANDS.items()]
    return "\n".join(
        [
            f"usage: {PROG} COMMAND [--flag=value ...]",
            "",
            *lines,
            "",
            f"{PROG} COMMAND --help lists the flags of a command.",
        ]
    )


def _refusal(name: str) -> str:
    if not name:
        return f"give a command: {', '.join(COMMANDS)}"
    near = nearest(name, COMMANDS)
    if near:
        return f"unknown command {name!r}: did you mean {near}?"
    return f"unknown command {name!r}: --help lists all"


if __name__ == "__main__":
    main()
