"""What the losses refuse, with both values and the mend."""

import jax
import jax.numpy as jnp
import numpy as np

from fgu_jax.errors import InputError


def check_num_neighbors(num_neighbors: int, num_images: int) -> None:
    """Refuses a k that the N - 1 other images cannot give."""
    if not 1 <= num_neighbors < num_images:
        raise InputError(
            f"num_neighbors is {num_neighbors} but {num_images} images leave each "
            f"patch {num_images - 1} others: use 1 to {num_images - 1}"
        )


def check_table(
    what: str, features: jax.Array, table: jax.Array, labels: jax.Array
) -> None:
    """Refuses features, a table and labels that do not belong together."""
    if features.ndim != 2 or table.ndim != 2 or features.shape[1] != table.shape[1]:
        raise InputError(
            f"features {features.shape} do not fit the {what} {table.shape}: "
            "give [B, D] and [C, D] of one width D"
        )
    _check_rows("labels", labels, features.shape[0], table.shape[0])


def check_patches(patches: jax.Array, table: jax.Array, indices: jax.Array) -> None:
    """Refuses patches, a patch memory and indices that do not belong together."""
    fits = patches.ndim == 3 and table.ndim == 3
    if not fits or (patches.shape[0], patches.shape[2]) != (
        table.shape[0],
        table.shape[2],
    ):
        raise InputError(
            f"patches {patches.shape} do not fit the patch memory {table.shape}: "
            "give [U, B, d] and [U, N, d]"
        )
    _check_rows("indices", indices, patches.shape[1], table.shape[1])


def check_positive(name: str, value: float | jax.Array) -> None:
    """Refuses a number that is not above 0; a traced one cannot be looked at."""
    if not isinstance(value, jax.Array) and value <= 0:
        raise InputError(f"{name} is {value}: give a number above 0")


def check_share(name: str, value: float) -> None:
    """Refuses a number that is no share."""
    if not 0 <= value <= 1:
        raise InputError(f"{name} is {value}: give 0 to 1")


def check_block_rows(block_rows: int | None) -> None:
    """Refuses a block without rows."""
    if block_rows is not None and block_rows < 1:
        raise InputError(f"block_rows is {block_rows}: give 1 or more, or None")


def _check_rows(name: str, rows: jax.Array, batch: int, height: int) -> None:
    if rows.shape != (batch,) or not jnp.issubdtype(rows.dtype, jnp.integer):
        raise InputError(
            f"{name} {rows.dtype}{list(rows.shape)} do not fit a batch of {batch}: "
            f"give int [{batch}]"
        )
    if isinstance(rows, jax.core.Tracer) or batch == 0:
        return  # inside a compiled call values cannot be looked at
    # NumPy, so that a constant inside a traced function is not traced as well.
    values = np.asarray(rows)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= height:
        raise InputError(
            f"{name} lie in {low}..{high} but the table has rows 0..{height - 1}"
        )
