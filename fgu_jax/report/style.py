"""How the report's pictures look: a light and a dark theme, and what a picture is."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CHART_WIDTH = 4.6
"""Inches: at a phone's width its text is still read."""

DOTS = 170
"""Dots per inch of the PNG files."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Theme:
    """Colours of one appearance; ``series`` tell apart for the colour-blind too."""

    name: str
    ground: str
    ink: str
    faint: str
    right: str
    wrong: str
    series: tuple[str, ...]


LIGHT = Theme(
    name="light",
    ground="#ffffff",
    ink="#1c2126",
    faint="#8a939c",
    right="#00714f",
    wrong="#b3261e",
    series=(
        "#0063a6",
        "#c25100",
        "#00714f",
        "#a8397f",
        "#8a6d00",
        "#3a7ca5",
        "#5b5b5b",
    ),
)
DARK = Theme(
    name="dark",
    ground="#15191d",
    ink="#e4e8eb",
    faint="#848d96",
    right="#4fc79b",
    wrong="#ff8a7a",
    series=(
        "#6db7ee",
        "#f2a35e",
        "#4fc79b",
        "#e38fc4",
        "#e2c94f",
        "#9fd0e6",
        "#bdbdbd",
    ),
)
THEMES = (LIGHT, DARK)

LINES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture of the report.

    Attributes:
      stem: its file name without theme and ending.
      title, caption, alt: text of the page; ``alt`` says what is to be seen.
      draw: makes the figure in a theme.
      is_sheet: a sheet of images, wider than a chart.
      listing: rows of names of the images shown: a heading, then names.
    """

    stem: str
    title: str
    caption: str
    alt: str
    draw: Callable[[Theme], "Figure"]
    is_sheet: bool = False
    listing: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def file(self, theme: Theme) -> str:
        """Name of the PNG of a theme."""
        return f"{self.stem}-{theme.name}.png"


@contextlib.contextmanager
def applied(theme: Theme) -> Iterator[None]:
    """matplotlib's own defaults with a theme on top, whatever the user has set."""
    import matplotlib as mpl
    from cycler import cycler

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(
            {
                "figure.facecolor": theme.ground,
                "savefig.facecolor": theme.ground,
                "axes.facecolor": theme.ground,
                "axes.edgecolor": theme.faint,
                "axes.labelcolor": theme.ink,
                "axes.prop_cycle": cycler(color=list(theme.series)),
                "axes.spines.top": False,
                "axes.spines.right": False,
                "axes.titlesize": 10,
                "axes.titlelocation": "left",
                "axes.titlecolor": theme.ink,
                "font.family": "DejaVu Sans",  # comes with matplotlib, has the signs
                "font.size": 9.5,
                "grid.color": theme.faint,
                "grid.alpha": 0.25,
                "axes.grid": True,
                "axes.axisbelow": True,
                "legend.frameon": False,
                "lines.linewidth": 1.8,
                "lines.markersize": 4.5,
                "text.color": theme.ink,
                "text.parse_math": False,
                "xtick.color": theme.ink,
                "ytick.color": theme.ink,
                "xtick.labelsize": 9,
                "ytick.labelsize": 9,
            }
        )
        yield


def figure(width: float, height: float, *, fitted: bool = True) -> "Figure":
    """An empty figure of this size in inches, known to no global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained" if fitted else None)


def epochs_below(axes: "Axes") -> None:
    """An x axis of whole epochs."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.set_xlabel("epoch")
