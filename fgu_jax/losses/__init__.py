"""The losses of FGU: repelled and attracted (RAFL), and the patch loss (PEDAL).

Each is a pure function that gives one value an example; the caller reduces. All are
made from partial statistics of blocks of table rows (``partials``), so that a table
cut by rows needs no other loss; large tables are read block by block (``streamed``).
"""

from fgu_jax.losses.checks import check_num_neighbors
from fgu_jax.losses.partials import (
    Partials,
    PatchPartials,
    combine,
    combine_patch,
    pedal_partials,
    repelled_partials,
)
from fgu_jax.losses.pedal import pedal_loss
from fgu_jax.losses.rafl import attracted_loss, rafl_loss, repelled_loss

__all__ = [
    "Partials",
    "PatchPartials",
    "attracted_loss",
    "check_num_neighbors",
    "combine",
    "combine_patch",
    "pedal_loss",
    "pedal_partials",
    "rafl_loss",
    "repelled_loss",
    "repelled_partials",
]
