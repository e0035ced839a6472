"""The backbones by name: how to build one, its channels, its map, its normalisation.

``BACKBONES`` are trained; ``FOUNDATIONS`` give features as they were published.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any

import flax.linen as nn

from fgu_jax.errors import InputError
from fgu_jax.messages import did_you_mean
from fgu_jax.networks.efficientnet import HEAD_FEATURES, EfficientNetLite
from fgu_jax.networks.resnet import ResNet
from fgu_jax.networks.vit import VisionTransformer, patch_grid

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
TOGETHER = 16  # images at once through a network at rest on a CPU, whose cache is small


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """What the rest of the package needs to know of a backbone."""

    make: Callable[..., nn.Module]  # dtype, param_dtype, axis_name, bn_momentum, name
    channels: int  # of the last stage, D
    halvings: int  # layers of stride 2
    for_cpu: Mapping[str, Any] = field(default_factory=dict)  # of make, at rest there
    together: int = TOGETHER
    mean: tuple[float, float, float] = IMAGENET_MEAN  # of pixels in 0..1, RGB
    std: tuple[float, float, float] = IMAGENET_STD


@dataclass(frozen=True, kw_only=True)
class Foundation:
    """A network whose feature is used as it was published; it is not trained here."""

    make: Callable[..., nn.Module]  # dtype, param_dtype, name; images to [B, channels]
    channels: int  # of the class token, D
    heads: int
    together: int = TOGETHER
    mean: tuple[float, float, float] = IMAGENET_MEAN  # of pixels in 0..1, RGB
    std: tuple[float, float, float] = IMAGENET_STD


def _resnet(**shape: Any) -> Callable[..., nn.Module]:
    return lambda **kwargs: ResNet(**shape, **kwargs)


_IMAGENET_WIDTHS = (64, 128, 256, 512)

# resnet_tiny is for two CPU cores and images of 64 x 32 to 128 x 64, from scratch;
# resnet_micro learns next to nothing, in seconds: to try a command out, and for tests.
BACKBONES = MappingProxyType(
    {
        "resnet50": Backbone(
            make=_resnet(
                blocks=(3, 4, 6, 3),
                widths=_IMAGENET_WIDTHS,
                strides=(1, 2, 2, 1),
                bottleneck=True,
            ),
            channels=2048,
            halvings=4,
        ),
        "resnet18": Backbone(
            make=_resnet(
                blocks=(2, 2, 2, 2),
                widths=_IMAGENET_WIDTHS,
                strides=(1, 2, 2, 1),
                bottleneck=False,
            ),
            channels=512,
            halvings=4,
        ),
        "resnet_tiny": Backbone(
            make=_resnet(
                blocks=(1, 1, 1, 1),
                widths=(32, 64, 128, 256),
                strides=(2, 2, 1, 1),
                bottleneck=False,
                stem="small",
            ),
            channels=256,
            halvings=3,
        ),
        "resnet_micro": Backbone(
            make=_resnet(
                blocks=(1, 1),
                widths=(8, 16),
                strides=(2, 2),
                bottleneck=False,
                stem="small",
            ),
            channels=16,
            halvings=3,
        ),
        "efficientnet_lite0": Backbone(
            make=EfficientNetLite,
            channels=HEAD_FEATURES,
            halvings=4,
            for_cpu={"few": 2},
            together=8,
            mean=(127 / 255,) * 3,
            std=(128 / 255,) * 3,
        ),
    }
)


def _dinov2(width: int, heads: int) -> Foundation:
    return Foundation(
        make=partial(VisionTransformer, width=width, depth=12, heads=heads),
        channels=width,
        heads=heads,
    )


FOUNDATIONS = MappingProxyType(
    {"dinov2_vits14": _dinov2(384, 6), "dinov2_vitb14": _dinov2(768, 12)}
)


def find(name: str) -> Backbone:
    """The backbone called ``name``; else an ``InputError`` with the nearest name."""
    if name in BACKBONES:
        return BACKBONES[name]
    if name in FOUNDATIONS:
        raise InputError(
            f"backbone {name!r} only embeds (embed.py --backbone={name}): to train, "
            f"take one of {', '.join(BACKBONES)}"
        )
    known = f"Known are {', '.join(BACKBONES)}"
    hint = did_you_mean(name, BACKBONES, cutoff=0.4, then=known)
    raise InputError(f"backbone {name!r} is not known: {hint}")


def find_embedding(name: str) -> Backbone | Foundation:
    """A backbone or a foundation network, whichever is called ``name``."""
    if name in FOUNDATIONS:
        return FOUNDATIONS[name]
    if name in BACKBONES:
        return BACKBONES[name]
    names = (*FOUNDATIONS, *BACKBONES)
    hint = did_you_mean(name, names, cutoff=0.4, then=f"Known are {', '.join(names)}")
    raise InputError(f"backbone {name!r} is not known: {hint}")


def images_at_once(backbone: str, height: int, width: int, most: int) -> int:
    """How many images of a size go through a network together, ``most`` at the most.

    A transformer holds a number for each pair of tokens, head and image: 2**26 of them,
    256 MiB of float32, are not exceeded but by one image alone. Raises ``InputError``
    for a size that the network does not take.

    >>> images_at_once("dinov2_vits14", 224, 224, 64)
    64
    >>> images_at_once("dinov2_vitb14", 518, 518, 64)
    2
    """
    spec = find_embedding(backbone)
    if isinstance(spec, Backbone):
        feature_map_size(backbone, height, width)
        return most
    rows, columns = patch_grid(height, width)
    pairs = spec.heads * (1 + rows * columns) ** 2
    return min(most, max(1, 2**26 // pairs))


def global_dim(backbone: str) -> int:
    """Width D of the global feature, the channels of the last stage.

    >>> global_dim("resnet50")
    2048
    """
    return find(backbone).channels


def feature_map_size(backbone: str, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the feature map of images of ``height`` x ``width`` pixels.

    >>> feature_map_size("resnet50", 384, 128)
    (24, 8)
    """
    if min(height, width) < 1:
        raise InputError(f"image of {height} x {width} pixels: both must be at least 1")
    halvings = find(backbone).halvings
    # Each stride of 2 with k // 2 of padding gives ceil(n / 2).
    return -(-height // 2**halvings), -(-width // 2**halvings)


def check_num_patches(backbone: str, height: int, width: int, num_patches: int) -> None:
    """Raise ``InputError`` unless U stripes of equal height fit the feature map.

    >>> check_num_patches("resnet50", 384, 128, 6)
    """
    rows, _ = feature_map_size(backbone, height, width)
    check_rows(rows, num_patches)


def check_rows(rows: int, num_patches: int) -> None:
    """Raise ``InputError`` unless ``num_patches`` divides the map's ``rows``."""
    fitting = [u for u in range(1, rows + 1) if rows % u == 0]
    if num_patches not in fitting:
        raise InputError(
            f"num_patches={num_patches} does not divide the feature map's {rows} rows: "
            f"take one of {', '.join(map(str, fitting))}, or another image height"
        )
