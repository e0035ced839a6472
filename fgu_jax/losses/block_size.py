"""How many rows of a table the losses read at a time."""

import jax

from fgu_jax.losses.largest import GROUP

# Numbers of a block of rows and of all that is computed of it. On a CPU they stay in
# a core's cache; elsewhere a block must be worth the launch of its operations.
_BLOCK_ON_CPU = 3 << 18
_BLOCK_ELSEWHERE = 1 << 24
# Rows whose products take a CPU as long as one neighbour of a block's top-k.
_ROWS_A_NEIGHBOR = 448
_SMALL_ON_CPU = 512


def rows_at_once(
    batch: int, num_rows: int, width: int, *, copies: int = 1, num_neighbors: int = 1
) -> int:
    """Rows of a block; ``num_rows`` where the plain form is the faster one.

    Args:
      batch: B, examples.
      num_rows: rows of the table.
      width: numbers of a row.
      copies: U, tables side by side; on a CPU they are read one after another.
      num_neighbors: k; blocks of few times k rows would only sort.
    """
    if jax.default_backend() == "cpu":
        by_size = _BLOCK_ON_CPU // (batch + width)
        most = max(_ROWS_A_NEIGHBOR * num_neighbors, by_size)
        small = max(_SMALL_ON_CPU, 4 * num_neighbors)
    else:
        by_size = _BLOCK_ELSEWHERE // (copies * (batch + width))
        most = max(256, 2 * num_neighbors, by_size)
        small = 2 * most
    if num_rows <= small:
        return num_rows
    blocks = max(2, -(-num_rows // most))
    # Even blocks: the last one overlaps the one before by less than a group a block.
    return -(-num_rows // (GROUP * blocks)) * GROUP
