"""How far something is: a callback ``(done, total, what)``, and a bar that shows it."""

import contextlib
import time
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

Progress = Callable[[int, int, str], object]

_SECONDS = 0.5  # between changes of a notebook's line
_LINES: weakref.WeakKeyDictionary["Console", Any] = weakref.WeakKeyDictionary()


@contextlib.contextmanager
def bar(console: "Console") -> Iterator[Progress]:
    """A progress bar as a callback ``(done, total, what)``.

    Nothing is drawn into a file or a pipe, where each bar would leave an empty line. A
    notebook has one line of text, which changes in its place: rich's bars need widgets
    there.
    """
    if console.is_jupyter:
        with _line_of_text(console) as callback:
            yield callback
        return
    from rich import progress as shown  # slow to import, and --help needs none of it

    columns = (
        shown.TextColumn("{task.description:>12}"),
        shown.BarColumn(),
        shown.MofNCompleteColumn(),
        shown.TimeRemainingColumn(),
    )
    hidden = not console.is_terminal
    with shown.Progress(
        *columns, console=console, transient=True, disable=hidden
    ) as progress:
        tasks: dict[str, shown.TaskID] = {}

        def callback(done: int, total: int, what: str) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done)

        yield callback


@contextlib.contextmanager
def _line_of_text(console: "Console") -> Iterator[Progress]:
    """The callback of a notebook: a line, shown at the first call, empty at the end."""
    from IPython.display import display

    last = 0.0

    def show(text: str) -> None:
        line = _LINES.get(console)
        if line is None:
            _LINES[console] = display({"text/plain": text}, raw=True, display_id=True)
        else:
            line.update({"text/plain": text}, raw=True)

    def callback(done: int, total: int, what: str) -> None:
        nonlocal last
        now = time.monotonic()
        if not console.quiet and now - last >= _SECONDS:
            last = now
            show(f"{what}: {done:,} of {total:,}")

    try:
        yield callback
    finally:
        if last:
            show("")
