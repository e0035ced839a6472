"""Images to features with a network at rest, beside PyTorch and ONNX Runtime."""

import numpy as np

from fgu_jax import networks
from fgu_jax.bench.measure import Work, close, same_as
from fgu_jax.bench.rivals import plain_network
from fgu_jax.bench.rivals.embedding import by_onnx, by_torch
from fgu_jax.bench.sizes import Embed
from fgu_jax.bench.training import forward_operations, rested_variables
from fgu_jax.config import Config
from fgu_jax.errors import InputError
from fgu_jax.inference.embedder import Embedder
from fgu_jax.inference.passes import BLOCK

_PATCH_DIM = 128


def works(sizes: Embed) -> list[Work]:
    """One row."""
    if sizes.images < 1 or sizes.images % BLOCK:
        raise InputError(f"images is {sizes.images}: give a multiple of {BLOCK}")
    networks.check_num_patches(sizes.backbone, sizes.height, sizes.width, sizes.patches)
    config = Config(
        backbone=sizes.backbone,
        image_height=sizes.height,
        image_width=sizes.width,
        num_patches=sizes.patches,
        patch_dim=_PATCH_DIM,
    )
    rng = np.random.default_rng(10)
    shape = (sizes.images, sizes.height, sizes.width, 3)
    images = rng.integers(0, 256, shape, np.uint8)
    variables = rested_variables(config, images[:BLOCK])
    embedder = Embedder(config, variables)
    rivals = {}
    for name, by in (("PyTorch", by_torch), ("ONNX Runtime", by_onnx)):
        plain = plain_network(config, variables)
        work = None if plain is None else by(plain, images, BLOCK)
        if work is not None:
            rivals[name] = work

    def check(results):
        for name, other in results.items():
            what = f"features of {name}"
            close(results["fgu_jax"], other, what, rtol=0, atol=1e-4)
        return same_as(results, "global features")

    return [
        Work(
            what=f"{sizes.backbone}, {sizes.height} x {sizes.width}, {sizes.images:,} "
            f"images in blocks of {BLOCK}",
            run=lambda: embedder(images, part="global"),
            rivals=rivals,
            check=check,
            operations=forward_operations(config, sizes.images),
            items=sizes.images,
            notes=("the floor is one forward pass at the rate of products",),
        )
    ]
