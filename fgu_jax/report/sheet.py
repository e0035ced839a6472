"""A sheet of images in rows, each with a border, a sign and a few words."""

import dataclasses
import enum
from typing import TYPE_CHECKING

import numpy as np

from fgu_jax.report.style import Theme, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_AREA = 0.72  # square inches of one image, whatever its shape
_GAP = 0.1  # inches between images
_TEXT = 0.2  # inches of the line under an image
_HEAD = 0.3  # inches of the line above a row
_LETTER = 0.075  # inches of a letter of that line, about
_WIDEST = 10.5  # inches of a sheet that is cut in two columns


class Mark(enum.Enum):
    """What an image is: told by sign and dashes of its border, not by colour alone."""

    NONE = ""
    RIGHT = "\N{CHECK MARK}"
    WRONG = "\N{BALLOT X}"
    LEFT_OUT = "\N{EN DASH}"


_BORDERS = {
    Mark.NONE: ("-", 0.8),
    Mark.RIGHT: ("-", 2.4),
    Mark.WRONG: ((0, (3, 1.2)), 2.4),
    Mark.LEFT_OUT: ((0, (0.9, 1.1)), 2.0),
}


@dataclasses.dataclass(frozen=True)
class Cell:
    """An image of a sheet.

    Attributes:
      image: uint8 [H, W, 3].
      mark: what it is.
      words: a few, under it, after the sign.
      stripe: (top, bottom) as fractions of its height: framed, the rest is paled.
      stripes: how many stripes are drawn over it, numbered; 0: none.
    """

    image: np.ndarray
    mark: Mark = Mark.NONE
    words: str = ""
    stripe: tuple[float, float] | None = None
    stripes: int = 0


@dataclasses.dataclass(frozen=True)
class Row:
    """Cells side by side under a line of text; ``lead`` cells stand apart in front."""

    title: str
    cells: tuple[Cell, ...]
    lead: int = 0


def draw_rows(theme: Theme, rows: list[Row]) -> "Figure":
    """A sheet with one row under the other, in two columns where rows are short."""
    height, width = _cell_size(rows[0].cells[0].image)
    most = max(len(row.cells) for row in rows)
    step = width + _GAP
    lead = _GAP * 1.5 if any(row.lead for row in rows) else 0.0
    words = max(len(row.title) for row in rows) * _LETTER
    row_width = max(most * step + lead, words) + 2 * _GAP
    row_height = _HEAD + height + _TEXT + _GAP
    columns = 2 if 2 * row_width < _WIDEST and len(rows) > 2 else 1
    deep = -(-len(rows) // columns)
    made, axes = _canvas(columns * row_width, deep * row_height)
    for i, row in enumerate(rows):
        left = _GAP + i // deep * row_width
        top = i % deep * row_height
        axes.text(left, top + _HEAD * 0.72, row.title, fontsize=9, color=theme.ink)
        for j, cell in enumerate(row.cells):
            x = left + j * step + (lead if j >= row.lead else 0)
            _draw_cell(axes, theme, cell, x, top + _HEAD, width, height)
    return made


def draw_blocks(
    theme: Theme, blocks: list[tuple[str, Cell, list[list[Cell]]]]
) -> "Figure":
    """A sheet of blocks, two side by side: a title, one image, and a grid beside it."""
    height, width = _cell_size(blocks[0][1].image)
    depth, across = len(blocks[0][2]), len(blocks[0][2][0])
    step = width + _GAP
    block_width = (across + 1) * step + 3 * _GAP
    block_height = _HEAD + depth * (height + _TEXT) + 2 * _GAP
    side_by_side = 2 if len(blocks) > 1 and 2 * block_width < _WIDEST else 1
    deep = -(-len(blocks) // side_by_side)
    made, axes = _canvas(side_by_side * block_width, deep * block_height)
    for index, (title, first, grid) in enumerate(blocks):
        left = _GAP + index % side_by_side * block_width
        top = index // side_by_side * block_height
        axes.text(left, top + _HEAD * 0.72, title, fontsize=9, color=theme.ink)
        _draw_cell(axes, theme, first, left, top + _HEAD, width, height)
        for i, cells in enumerate(grid):
            for j, cell in enumerate(cells):
                x = left + step * (j + 1) + _GAP
                y = top + _HEAD + i * (height + _TEXT)
                _draw_cell(axes, theme, cell, x, y, width, height)
    return made


def _canvas(width: float, height: float):
    """Axes over a whole figure, in inches from its upper left corner."""
    made = figure(width, height, fitted=False)
    axes = made.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_autoscale_on(False)
    return made, axes


def _cell_size(image: np.ndarray) -> tuple[float, float]:
    """Height and width in inches; very long images are kept within reason."""
    shape = min(max(image.shape[0] / image.shape[1], 0.4), 2.5)
    return (_AREA * shape) ** 0.5, (_AREA / shape) ** 0.5


def _draw_cell(axes, theme: Theme, cell: Cell, x, y, width, height) -> None:
    from matplotlib.patches import Rectangle

    image = cell.image
    if cell.stripe is not None:
        image = _paled(image, theme, *cell.stripe)
    axes.imshow(
        image,
        extent=(x, x + width, y + height, y),
        aspect="auto",
        interpolation="antialiased",
    )

    def box(top, tall, color, style, line):
        axes.add_patch(
            Rectangle(
                (x, y + top * height),
                width,
                tall * height,
                fill=False,
                edgecolor=color,
                linestyle=style,
                linewidth=line,
            )
        )

    color = {Mark.RIGHT: theme.right, Mark.WRONG: theme.wrong}.get(
        cell.mark, theme.faint
    )
    box(0, 1, color, *_BORDERS[cell.mark])
    if cell.stripe is not None:
        top, bottom = cell.stripe
        box(top, bottom - top, theme.series[1], "-", 2.0)
    for u in range(cell.stripes):
        box(u / cell.stripes, 1 / cell.stripes, theme.series[1], "-", 1.0)
        axes.text(
            x + 0.05,
            y + height * (u + 0.5) / cell.stripes,
            str(u + 1),
            fontsize=min(8, 45 * height / cell.stripes),
            color="white",
            va="center",
            bbox={"boxstyle": "round,pad=0.15", "fc": "black", "ec": "none"},
        )
    words = f"{cell.mark.value} {cell.words}".strip()
    if words:
        tone = theme.ink if cell.mark in (Mark.NONE, Mark.LEFT_OUT) else color
        axes.text(
            x + width / 2,
            y + height + _TEXT * 0.72,
            words,
            ha="center",
            fontsize=8,
            color=tone,
        )


def _paled(image: np.ndarray, theme: Theme, top: float, bottom: float) -> np.ndarray:
    """The image with all but one stripe drawn towards the ground's colour."""
    ground = np.array([int(theme.ground[i : i + 2], 16) for i in (1, 3, 5)])
    pale = 0.4 * image + 0.6 * ground[None, None, :]
    rows = slice(round(top * len(image)), max(1, round(bottom * len(image))))
    pale[rows] = image[rows]
    return pale.astype(np.uint8)
