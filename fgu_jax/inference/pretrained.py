"""A network as others published it, untrained here, as a function of images."""

import dataclasses
import functools
import json
from typing import Any

import jax
import jax.numpy as jnp

from fgu_jax.data.decode import Resize
from fgu_jax.errors import InputError
from fgu_jax.inference.embedder import Embedder
from fgu_jax.inference.passes import BLOCK
from fgu_jax.networks import GlobalNetwork, images_at_once
from fgu_jax.networks.weights import Report, load_initial, published

SIDE = 224  # pixels: what ImageNet's and DINOv2's networks are evaluated at


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pretrained:
    """Which network embeds, and what it takes: what a file of features says of it.

    Attributes:
      backbone: of ``networks.BACKBONES`` or ``networks.FOUNDATIONS``.
      init: its weights: ``imagenet``, ``lvd142m``, or a file.
      image_height, image_width: pixels that images are resized to.
      resize: how they come to that size, ``squash`` or ``pad``.
      weights: where the weights came from, and of what commit.
    """

    backbone: str
    init: str
    image_height: int
    image_width: int
    resize: Resize
    weights: str

    def to_json(self) -> str:
        """The fields as a JSON object."""
        return json.dumps(dataclasses.asdict(self))


class PretrainedEmbedder(Embedder):
    """An ``Embedder`` of the global feature alone; ``fused`` is the same."""

    parts_known = ("fused", "global")

    def __init__(self, config: Pretrained, variables: dict[str, Any]):
        height, width = config.image_height, config.image_width
        # The weights are in the digest: where they came from is not.
        known_by = [config.backbone, height, width, "global", config.resize]
        block = images_at_once(config.backbone, height, width, BLOCK)
        network = GlobalNetwork(config.backbone)
        self._prepare(config, network, variables, known_by, block)


def load_pretrained(
    backbone: str,
    *,
    init: str | None = None,
    image_height: int = SIDE,
    image_width: int = SIDE,
    resize: Resize = "squash",
) -> tuple[PretrainedEmbedder, Report]:
    """A published network, ready for images, and what was taken of its weights.

    The feature is of unit length: DINOv2's class token after the last norm, or the mean
    over the last map of a convolutional network.

    Args:
      backbone: of ``networks.FOUNDATIONS`` or ``networks.BACKBONES``.
      init: a file of its weights, or ``imagenet`` or ``lvd142m``; none: whichever of
        the two it has. Files are those of ``networks.weights.load_initial``.
      image_height, image_width: pixels that images are resized to; of DINOv2 multiples
        of 14.
      resize: as of ``data.decode.resized``.

    Raises:
      InputError: an unknown backbone, a size that it does not take, weights that cannot
        be had or do not fit.
    """
    # Refuses a size that the network does not take, before weights are read.
    images_at_once(backbone, image_height, image_width, BLOCK)
    init = published(backbone) if init is None else init
    if init == "random":
        raise InputError(
            "--init=random: features of a network that learnt nothing say nothing; "
            f"leave it out for --init={published(backbone)}, or name a file"
        )
    image = jax.ShapeDtypeStruct((1, image_height, image_width, 3), jnp.float32)
    initialise = functools.partial(GlobalNetwork(backbone).init, train=False)
    shapes = jax.eval_shape(initialise, jax.random.key(0), image)
    variables, report = load_initial(init, backbone, shapes)
    config = Pretrained(
        backbone=backbone,
        init=init,
        image_height=image_height,
        image_width=image_width,
        resize=resize,
        weights=report.source,
    )
    return PretrainedEmbedder(config, variables), report
