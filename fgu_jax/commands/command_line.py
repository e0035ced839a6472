"""What the commands share: flags from ``Config``, and errors of one line.

argparse rather than tyro or absl: their errors take several lines, and a mistyped
field must get its near miss in one.
"""

import argparse
import contextlib
import io
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from fgu_jax.config import FIELDS, TRAITS, TYPES
from fgu_jax.config.values import parse_bool
from fgu_jax.errors import GO_ON, InputError, NotWritten
from fgu_jax.messages import nearest
from fgu_jax.parallel.allocation import keep_freed_memory


class Parser(argparse.ArgumentParser):
    """An ``ArgumentParser`` whose errors are one line, with the near miss of a flag.

    Flags are ``--snake_case``, are never abbreviated, and ``--flag=value`` or
    ``--flag value``. Those of ``store_true`` are ``--flag=true`` or ``--flag=false``
    too, as the fields of ``Config`` are.
    """

    def __init__(self, **kwargs):
        super().__init__(allow_abbrev=False, **kwargs)
        self.register("action", "store_true", _Switch)  # of groups and subcommands too

    def parse_known_args(self, args=None, namespace=None):
        given = sys.argv[1:] if args is None else args
        if self._subparsers is None:  # else a subcommand answers for its flags
            for argument in given:  # misspelt ones, before what is missing without them
                if argument.startswith("--") and not self._knows(argument):
                    self.error(self._unrecognised(argument))
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(self._unrecognised(rest[0]))
        return found, rest

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {' '.join(message.split())}\n")

    def _knows(self, argument: str) -> bool:
        return argument.split("=")[0] in self._option_string_actions

    def _unrecognised(self, argument: str) -> str:
        flag = argument.split("=")[0]
        known = [text for action in self._actions for text in action.option_strings]
        known = [text[2:] for text in known if text.startswith("--")]
        name = flag.lstrip("-")
        near = nearest(name.replace("-", "_"), known) or nearest(name, known)
        if not flag.startswith("-"):
            return f"unexpected argument {argument!r}: flags are --name=value"
        if near:
            return f"unknown field {flag}: did you mean --{near}?"
        return f"unknown field {flag}: --help lists all"


class _Switch(argparse.Action):
    """A flag that is true without a value, else what its value says."""

    def __init__(self, option_strings, dest, **more):
        more |= {"nargs": "?", "const": True, "type": _truth, "metavar": "BOOL"}
        super().__init__(option_strings, dest, default=False, **more)

    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, values)


def _truth(text: str) -> bool:
    try:
        return parse_bool(text)
    except KeyError:
        raise argparse.ArgumentTypeError(f"{text!r}: give true or false") from None


def add_config_flags(
    parser: argparse.ArgumentParser, *, leave_out: Sequence[str] = ()
) -> None:
    """A flag for each field of ``Config``; those not given are absent when parsed."""
    group: argparse._ActionsContainer = parser
    for name, of in TRAITS.items():
        if of.group:
            group = parser.add_argument_group(of.group)
        if name not in leave_out:
            default = FIELDS[name].default
            shown = "" if default is None else f" ({default})"
            add_field_flag(group, name, shown)


def add_field_flag(
    parser: argparse._ActionsContainer, name: str, shown: str = ""
) -> None:
    """The flag of one field of ``Config``; ``shown`` stands behind its help."""
    boolean = TYPES[name] is bool
    named = typing.get_args(TYPES[name])
    a_choice = typing.get_origin(TYPES[name]) is typing.Literal
    parser.add_argument(
        f"--{name}",
        help=(TRAITS[name].help + shown).replace("%", "%%"),
        default=argparse.SUPPRESS,
        metavar="|".join(named) if a_choice else "BOOL" if boolean else "VALUE",
        nargs="?" if boolean else None,
        const="true" if boolean else None,
    )


def add_folder_flags(parser: argparse.ArgumentParser, output: str) -> None:
    """The flags of commands that embed a folder of images with a trained network."""
    add = parser.add_argument
    add("--checkpoint", help="a run's folder, or an exported one")
    add("--images", required=True, help="any tree of images")
    add("--output", required=True, help=output)


def add_writing_flags(parser: argparse.ArgumentParser) -> None:
    """What those commands may leave out, and replace."""
    add = parser.add_argument
    add(
        "--skip_bad",
        action="store_true",
        help="go on without images that cannot be read",
    )
    add("--overwrite", action="store_true", help="replace an output that exists")
    add_cache_flag(parser)


def add_cache_flag(parser: argparse._ActionsContainer) -> None:
    """The flags of what commands keep for the next one; ``main`` acts on them."""
    add = parser.add_argument
    add(
        "--compilation_cache",
        metavar="FOLDER",
        help="where compiled programs are kept for the next start, or none (a private "
        "folder in the user's cache, or $JAX_COMPILATION_CACHE_DIR)",
    )
    add(
        "--image_cache",
        metavar="FOLDER",
        help="where large pictures are kept decoded for the next command, or none (a "
        "private folder in the user's cache, or $FGU_IMAGE_CACHE)",
    )
    add(
        "--image_cache_gib",
        type=float,
        metavar="GIB",
        help="the most that those may take; what was used longest ago makes room (4, "
        "and never over a tenth of the disk's free space)",
    )


def given_fields(arguments: argparse.Namespace) -> dict[str, str]:
    """The fields of ``Config`` that the command line gave, as text."""
    return {k: v for k, v in vars(arguments).items() if k in FIELDS}


def for_this_machine(given: Mapping[str, str]) -> dict[str, str]:
    """The preset of one's own images on a machine without an accelerator, and told."""
    from fgu_jax.config.methods import HANDCRAFTED
    from fgu_jax.config.presets import ON_CPU

    if given.get("dataset") != "folder" or "preset" in given:
        return {}
    if given.get("method") in HANDCRAFTED:  # nothing of a preset is asked for
        return {}
    import jax

    from fgu_jax.parallel import processes

    if jax.default_backend() != "cpu":
        return {}
    if processes.is_first():
        print(
            f"no accelerator here: --preset={ON_CPU} (--preset=paper for the paper's)"
        )
    return {"preset": ON_CPU}


def main(
    command: Callable[[argparse.Namespace], None],
    parser: argparse.ArgumentParser,
    argv: Sequence[str] | None = None,
    *,
    go_on: str = GO_ON,
) -> NoReturn:
    """Parses, runs, and leaves: 0; 2 and one line for what a user can mend.

    A run that could not write leaves with 1, one that was asked to stop with 128 + the
    signal's number, as shells count; ``go_on`` says how either goes on.
    """
    for stream in (sys.stdout, sys.stderr):
        # A console that cannot show a name shows its escapes, and nothing is lost.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    arguments = parser.parse_args(argv)
    if hasattr(arguments, "compilation_cache"):  # it computes
        keep_freed_memory()
    from fgu_jax.training.stopping import Stopped  # imports JAX; --help needs none

    try:
        if hasattr(arguments, "compilation_cache"):
            from fgu_jax.commands.compiled_cache import keep_compiled

            keep_compiled(arguments.compilation_cache)
        with _images_kept(arguments):
            command(arguments)
    except (InputError, OSError, MemoryError) as error:
        line = " ".join(str(error).split()) or type(error).__name__
        line = line.replace(GO_ON, go_on)
        print(f"{parser.prog}: {line}", file=sys.stderr)
        sys.exit(1 if isinstance(error, NotWritten) else 2)
    except Stopped as stopped:
        print(f"{parser.prog}: {stopped}: saved; {go_on}", file=sys.stderr)
        sys.exit(stopped.code)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)


def _images_kept(arguments: argparse.Namespace) -> contextlib.AbstractContextManager:
    """Within it decoded images are kept, by a command that reads some."""
    if not hasattr(arguments, "image_cache"):
        return contextlib.nullcontext()
    from fgu_jax.commands.image_cache import keep_decoded

    return keep_decoded(arguments.image_cache, arguments.image_cache_gib)
