"""The backbones by name: how to build one, its channels, its map, its normalisation."""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import flax.linen as nn

from fgu_jax.errors import InputError
from fgu_jax.messages import did_you_mean
from fgu_jax.networks.efficientnet import HEAD_FEATURES, EfficientNetLite
from fgu_jax.networks.resnet import ResNet

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """What the rest of the package needs to know of a backbone."""

    make: Callable[..., nn.Module]  # dtype, param_dtype, axis_name, bn_momentum, name
    channels: int  # of the last stage, D
    halvings: int  # layers of stride 2
    mean: tuple[float, float, float] = IMAGENET_MEAN  # of pixels in 0..1, RGB
    std: tuple[float, float, float] = IMAGENET_STD


def _resnet(**shape: Any) -> Callable[..., nn.Module]:
    return lambda **kwargs: ResNet(**shape, **kwargs)


_IMAGENET_WIDTHS = (64, 128, 256, 512)

# resnet_tiny is for two CPU cores and images of 64 x 32 to 128 x 64, from scratch.
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
        "efficientnet_lite0": Backbone(
            make=EfficientNetLite,
            channels=HEAD_FEATURES,
            halvings=4,
            mean=(127 / 255,) * 3,
            std=(128 / 255,) * 3,
        ),
    }
)


def find(name: str) -> Backbone:
    """The backbone called ``name``; else an ``InputError`` with the nearest name."""
    if name in BACKBONES:
        return BACKBONES[name]
    known = f"Known are {', '.join(BACKBONES)}"
    hint = did_you_mean(name, BACKBONES, cutoff=0.4, then=known)
    raise InputError(f"backbone {name!r} is not known: {hint}")


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
