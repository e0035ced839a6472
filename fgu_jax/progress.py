"""How far something is: a callback ``(done, total, what)``, and a bar that shows it."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

Progress = Callable[[int, int, str], object]


@contextlib.contextmanager
def bar(console: "Console") -> Iterator[Progress]:
    """A progress bar as a callback ``(done, total, what)``.

    Nothing is drawn into a file or a pipe, where each bar would leave an empty line.
    """
    from rich import progress as shown  # slow to import, and --help needs none of it

    columns = (
        shown.TextColumn("{task.description:>12}"),
        shown.BarColumn(),
        shown.MofNCompleteColumn(),
        shown.TimeRemainingColumn(),
    )
    hidden = not (console.is_terminal or console.is_jupyter)
    with shown.Progress(
        *columns, console=console, transient=True, disable=hidden
    ) as progress:
        tasks: dict[str, shown.TaskID] = {}

        def callback(done: int, total: int, what: str) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done)

        yield callback
