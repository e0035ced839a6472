"""The losses of FGU: repelled and attracted (RAFL), and the patch loss (PEDAL).

``supervised`` has those of a start with labels.

Each is a pure function that gives one value an example; the caller reduces. Large
tables are read block by block (``streamed``), those cut over devices by rows
(``sharded``): both fold the rows into one softmax, and neither is another loss.
"""

from fgu_jax.losses.checks import check_num_neighbors
from fgu_jax.losses.pedal import pedal_loss
from fgu_jax.losses.rafl import attracted_loss, rafl_loss, repelled_loss
from fgu_jax.losses.refined import Refined, refined_losses
from fgu_jax.losses.supervised import batch_hard_triplet, identity_loss

__all__ = [
    "Refined",
    "attracted_loss",
    "batch_hard_triplet",
    "check_num_neighbors",
    "identity_loss",
    "pedal_loss",
    "rafl_loss",
    "refined_losses",
    "repelled_loss",
]
