"""DINOv2's vision transformer: an image to its class token.

Source: Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision",
TMLR 2024, after Dosovitskiy et al., ICLR 2021. Parameters carry the original's names,
with ``blocks.0`` written ``blocks_0``; they are those of timm's files as well.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from fgu_jax.errors import InputError

PATCH = 14  # pixels along a side
GRID = 37  # patches along a side of the 518 x 518 images that positions were learnt on
EPSILON = 1e-6
_HIDDEN = 4  # width of a block's hidden layer, in widths of the token


def patch_grid(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of patches of an image of ``height`` x ``width`` pixels.

    Raises ``InputError`` unless both are multiples of 14.

    >>> patch_grid(224, 112)
    (16, 8)
    """
    for name, size in (("height", height), ("width", width)):
        if size < PATCH or size % PATCH:
            near = max(PATCH, round(size / PATCH) * PATCH)
            raise InputError(
                f"image_{name}={size} is no multiple of {PATCH}, the side of a patch: "
                f"take {near}"
            )
    return height // PATCH, width // PATCH


def resized_positions(table: jax.Array, rows: int, columns: int) -> jax.Array:
    """Position embeddings of another grid, ``[g*g,D] -> [rows*columns,D]``.

    Bicubic (Keys, a = -0.5) with antialiasing, pixel centres at halves, weights that
    reach over the border renormalised: what timm does (``resample_abs_pos_embed``), and
    the DINOv2 authors for their models with registers. For those without, the authors'
    own code and transformers' neither antialias nor use this cubic (a = -0.75), and the
    authors' shifts the grid by a tenth of a patch; at 518 x 518 all agree.
    """
    side = round(len(table) ** 0.5)
    if (rows, columns) == (side, side):
        return table
    grid = table.reshape(side, side, -1)
    shape = (rows, columns, grid.shape[-1])
    return jax.image.resize(grid, shape, "cubic", antialias=True).reshape(
        rows * columns, -1
    )


class PatchEmbedding(nn.Module):
    """One linear map of each 14 x 14 patch, ``[B,H,W,3] -> [B,H/14*W/14,width]``."""

    width: int
    types: Any

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        side = (PATCH, PATCH)
        proj = nn.Conv(self.width, side, side, "VALID", name="proj", **self.types)
        return proj(images).reshape(len(images), -1, self.width)


class Attention(nn.Module):
    """Self-attention of all tokens, ``[B,T,D] -> [B,T,D]``."""

    heads: int
    types: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        b, t, width = x.shape
        qkv = nn.Dense(3 * width, name="qkv", **self.types)(x)
        # In the file's order: queries, keys, values, each head after head.
        qkv = qkv.reshape(b, t, 3, self.heads, width // self.heads)
        query, key, value = (qkv[:, :, k] for k in range(3))
        mixed = jax.nn.dot_product_attention(query, key, value)
        proj = nn.Dense(width, name="proj", **self.types)
        return proj(mixed.reshape(b, t, width))


class Perceptron(nn.Module):
    """Two layers with the exact GELU between them, for each token alone."""

    types: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        width = x.shape[-1]
        hidden = nn.Dense(_HIDDEN * width, name="fc1", **self.types)(x)
        hidden = nn.gelu(hidden, approximate=False)
        return nn.Dense(width, name="fc2", **self.types)(hidden)


class LayerScale(nn.Module):
    """One learnt factor for each number of a token (Touvron et al., ICCV 2021)."""

    types: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        start = nn.initializers.constant(1e-5)
        gamma = self.param("gamma", start, x.shape[-1:], self.types["param_dtype"])
        return x * gamma.astype(x.dtype).reshape(1, 1, -1)


class Block(nn.Module):
    """``x + ls1(attn(norm1(x)))``, then ``x + ls2(mlp(norm2(x)))``; ``[B,T,D]``."""

    heads: int
    types: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        attended = Attention(self.heads, self.types, name="attn")(
            _norm("norm1", self.types)(x)
        )
        x = x + LayerScale(self.types, name="ls1")(attended)
        mapped = Perceptron(self.types, name="mlp")(_norm("norm2", self.types)(x))
        return x + LayerScale(self.types, name="ls2")(mapped)


class VisionTransformer(nn.Module):
    """Normalised images ``[B,H,W,3]`` to class tokens ``[B,D]`` after the last norm.

    H and W are multiples of 14, any; positions are resized to them. ``dtype`` is what
    everything is computed in but LayerNorm's statistics and the softmax, which take
    float32 or wider. Without registers, dropout and masks: it is for features alone.

    Raises ``InputError`` for another H or W.
    """

    width: int
    depth: int
    heads: int
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        rows, columns = patch_grid(*x.shape[1:3])
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        normal = nn.initializers.normal(0.02)
        one = self.param("cls_token", normal, (1, 1, self.width), self.param_dtype)
        table = self.param(
            "pos_embed", normal, (1, 1 + GRID * GRID, self.width), self.param_dtype
        )
        patches = PatchEmbedding(self.width, types, name="patch_embed")(x)
        # As in the original, the class token has a position too, which no size changes.
        of_class = (one + table[:, :1])[0].astype(self.dtype)
        of_patches = resized_positions(table[0, 1:], rows, columns)
        x = jnp.concatenate(
            [
                jnp.broadcast_to(of_class[None], (len(x), 1, self.width)),
                patches + of_patches[None].astype(self.dtype),
            ],
            axis=1,
        )
        for k in range(self.depth):
            x = Block(self.heads, types, name=f"blocks_{k}")(x)
        return _norm("norm", types)(x[:, 0])


def _norm(name: str, types: Any) -> nn.LayerNorm:
    # The variance as the mean of squared differences, as PyTorch has it.
    return nn.LayerNorm(EPSILON, use_fast_variance=False, name=name, **types)
