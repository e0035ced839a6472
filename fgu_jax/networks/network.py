"""The whole network: backbone, global head, U patch heads."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from fgu_jax.errors import InputError
from fgu_jax.networks.backbones import check_rows, find
from fgu_jax.networks.heads import (
    GeneralizedMean,
    PatchHeads,
    stripe_means,
    unit,
    widen,
)
from fgu_jax.networks.normalisation import batch_norm
from fgu_jax.networks.patchnet import PatchNet, window_means

PATCH_GENERATORS = ("stripes", "affine")
POOLINGS = ("mean", "gem")


class Features(NamedTuple):
    """What the network says of a batch: unit rows, float32 or wider."""

    global_features: jax.Array  # [B, D]
    patches: jax.Array  # [U, B, d]


class Network(nn.Module):
    """Images float ``[B,H,W,3]``, RGB in 0..1, to :class:`Features`; see :func:`build`.

    ``apply({"params": ..., "batch_stats": ...}, images, train=...)``. In training mode
    BatchNorm uses the batch (over ``axis_name`` the global one), and
    ``mutable=["batch_stats"]`` returns the new running statistics too. ``train_heads``
    sets the mode of neck and heads apart from the backbone's, which ``train`` decides.
    ``on_cpu`` lays an evaluation pass out for a CPU's cache, over the same parameters.
    """

    backbone: str
    num_patches: int
    patch_dim: int
    patch_generator: str
    pooling: str
    neck: bool
    dtype: Any
    param_dtype: Any
    axis_name: str | None
    bn_momentum: float
    bn_group: int | None
    on_cpu: bool = False

    @nn.compact
    def __call__(
        self, images: jax.Array, *, train: bool, train_heads: bool | None = None
    ) -> Features:
        spec = find(self.backbone)
        wide = jnp.promote_types(self.dtype, jnp.float32)
        images = jnp.asarray(images, wide)
        mean, std = (
            jnp.asarray(x, wide).reshape(1, 1, 1, 3) for x in (spec.mean, spec.std)
        )
        shared = {
            "param_dtype": self.param_dtype,
            "axis_name": self.axis_name,
        }
        layout = spec.for_cpu if self.on_cpu and not train else {}
        backbone = spec.make(
            dtype=self.dtype,
            bn_momentum=self.bn_momentum,
            bn_group=self.bn_group,
            name="backbone",
            **layout,
            **shared,
        )
        feature_map = widen(backbone((images - mean) / std, train=train))
        check_rows(feature_map.shape[1], self.num_patches)
        # New heads on a trained backbone take their first statistics from the features
        # that the backbone gives in evaluation mode: train=False, train_heads=True.
        train_heads = train if train_heads is None else train_heads
        norm = batch_norm(
            train=train_heads,
            dtype=feature_map.dtype,
            momentum=self.bn_momentum,
            group=self.bn_group,
            **shared,
        )

        if self.pooling == "gem":
            pooled = GeneralizedMean(self.param_dtype, name="gem")(feature_map)
        else:
            pooled = jnp.mean(feature_map, axis=(1, 2))
        if self.neck:
            pooled = norm(name="neck")(pooled)

        if self.patch_generator == "affine":
            patchnet = PatchNet(self.num_patches, self.param_dtype, name="patchnet")
            patches = window_means(feature_map, patchnet(feature_map))
        else:
            patches = stripe_means(feature_map, self.num_patches)
        heads = PatchHeads(self.patch_dim, self.param_dtype, norm, name="patch_heads")
        return Features(unit(pooled), unit(heads(patches)))


def build(
    backbone: str,
    *,
    num_patches: int = 6,
    patch_dim: int = 256,
    patch_generator: str = "stripes",
    pooling: str = "mean",
    neck: bool = False,
    dtype: Any = jnp.float32,
    param_dtype: Any = jnp.float32,
    axis_name: str | None = None,
    bn_momentum: float = 0.9,
    bn_group: int | None = None,
) -> Network:
    """The FGU network (section 3 of the paper; figure 1) as one Flax module.

    ``backbone`` is a name of ``BACKBONES``; ``num_patches`` U divides the rows of the
    feature map; ``patch_dim`` is d; ``patch_generator`` is ``"stripes"`` (of equal
    height) or ``"affine"`` (PAUL's PatchNet, starting at the stripes); ``pooling`` of
    the global feature is ``"mean"`` or ``"gem"`` (``GeneralizedMean``); ``neck`` puts a
    BatchNorm before the global feature's normalisation; ``dtype`` is what the backbone
    computes in (the rest runs in float32 or wider); ``axis_name`` names the mapped axis
    over which BatchNorm takes the global batch; ``bn_momentum`` is the weight of the
    old running statistics (0.9 is PyTorch's 0.1; 0.0 takes the last batch alone);
    ``bn_group`` is how many images have statistics of their own, ``None`` all.

    Raises ``InputError`` for an unknown backbone or patch generator, and for U or d
    below 1; ``apply`` and ``init`` raise it where U does not divide the map's rows.

    >>> network = build("resnet_micro", num_patches=2, patch_dim=8)
    >>> images = jnp.zeros((4, 64, 32, 3))
    >>> init = jax.jit(network.init, static_argnames="train")
    >>> apply = jax.jit(network.apply, static_argnames="train")
    >>> variables = init(jax.random.key(0), images, train=False)
    >>> features = apply(variables, images, train=False)
    >>> features.global_features.shape, features.patches.shape
    ((4, 16), (2, 4, 8))

    Source: the FGU paper, sections 3.1 and 3.3; PCB (Sun et al. 2018) for the stripes.
    """
    find(backbone)
    if patch_generator not in PATCH_GENERATORS:
        known = " or ".join(map(repr, PATCH_GENERATORS))
        raise InputError(
            f"patch_generator={patch_generator!r} is not known: use {known}"
        )
    if pooling not in POOLINGS:
        known = " or ".join(map(repr, POOLINGS))
        raise InputError(f"pooling={pooling!r} is not known: use {known}")
    for name, value in (("num_patches", num_patches), ("patch_dim", patch_dim)):
        if value < 1:
            raise InputError(f"{name}={value}: it must be at least 1")
    return Network(
        backbone=backbone,
        num_patches=num_patches,
        patch_dim=patch_dim,
        patch_generator=patch_generator,
        pooling=pooling,
        neck=neck,
        dtype=dtype,
        # Statistics are updated in place: narrower than what is computed, their type
        # would change at the first step.
        param_dtype=jnp.promote_types(param_dtype, dtype),
        axis_name=axis_name,
        bn_momentum=bn_momentum,
        bn_group=bn_group,
    )


def frozen_parameters(params: Any) -> Any:
    """True for each parameter that target training leaves alone: PatchNet's.

    Same tree as ``params``. PAUL trains the localisation net on a labelled source and
    freezes it afterwards; the optimiser is to be masked with this.

    >>> frozen_parameters({"patchnet": {"w": 0.0}, "backbone": {"w": 0.0}})
    {'patchnet': {'w': True}, 'backbone': {'w': False}}
    """
    return {
        part: jax.tree.map(lambda _, frozen=part == "patchnet": frozen, subtree)
        for part, subtree in params.items()
    }
