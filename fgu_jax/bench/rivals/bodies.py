"""The bodies of networks as a PyTorch user writes them, for comparison only.

A module: importing it imports PyTorch. Children carry the names of our parameters, but
for stages, whose blocks are ``layer1_0`` there and ``layer1[0]`` here.
"""

import torch
from torch import nn
from torch.nn import functional

from fgu_jax.networks.efficientnet import HEAD_FEATURES, LITE0, STEM_FEATURES

RESNETS = {"resnet50": (3, 4, 6, 3), "resnet18": (2, 2, 2, 2)}
LITE = "efficientnet_lite0"
KNOWN = (*RESNETS, LITE)


def body(name: str) -> nn.Module:
    """Normalised images [B, 3, H, W] to a map [B, F, h, w]; ``features`` is F."""
    return Lite0() if name == LITE else ResNet(name)


class Block(nn.Module):
    """A residual block with torchvision's names."""

    def __init__(self, inputs: int, width: int, stride: int, bottleneck: bool):
        super().__init__()
        outputs = width * (4 if bottleneck else 1)
        kernels = (1, 3, 1) if bottleneck else (3, 3)
        self.depth = len(kernels)
        for i, k in enumerate(kernels, start=1):
            out = outputs if i == self.depth else width
            step = stride if i == (2 if bottleneck else 1) else 1
            conv = nn.Conv2d(
                inputs if i == 1 else width, out, k, step, k // 2, bias=False
            )
            self.add_module(f"conv{i}", conv)
            self.add_module(f"bn{i}", nn.BatchNorm2d(out))
        self.downsample = nn.Sequential()
        if inputs != outputs or stride != 1:
            self.downsample.append(nn.Conv2d(inputs, outputs, 1, stride, bias=False))
            self.downsample.append(nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = x
        for i in range(1, self.depth + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            if i < self.depth:
                y = functional.relu(y, inplace=True)
        return functional.relu(y + self.downsample(x), inplace=True)


class ResNet(nn.Module):
    """Last stage at stride 1."""

    def __init__(self, name: str):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        inputs, bottleneck = 64, name == "resnet50"
        for stage, count in enumerate(RESNETS[name], start=1):
            width = 64 * 2 ** (stage - 1)
            blocks = []
            for i in range(count):
                stride = 2 if stage in (2, 3) and i == 0 else 1
                blocks.append(Block(inputs, width, stride, bottleneck))
                inputs = width * (4 if bottleneck else 1)
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.features = inputs

    def forward(self, x):
        x = functional.relu(self.bn1(self.conv1(x)))
        x = functional.max_pool2d(x, 3, 2, 1)
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
        return x


class Same(nn.Conv2d):
    """A convolution padded as TensorFlow's ``SAME`` pads even sizes."""

    def forward(self, x):
        k, s = self.kernel_size[0], self.stride[0]
        if s == 1:
            return super().forward(x)
        before, after = (k - s) // 2, (k - s + 1) // 2
        x = functional.pad(x, (before, after, before, after))
        return self._conv_forward(x, self.weight, None)


def _same(inputs: int, outputs: int, k: int, stride: int, groups: int = 1) -> Same:
    padding = k // 2 if stride == 1 else 0
    return Same(inputs, outputs, k, stride, padding, groups=groups, bias=False)


class Inverted(nn.Module):
    """Expand, filter each channel, project; a shortcut where it fits."""

    def __init__(self, inputs: int, outputs: int, k: int, stride: int, expand: int):
        super().__init__()
        wide = inputs * expand
        self.expands = expand != 1
        if self.expands:
            self.expand_conv = nn.Conv2d(inputs, wide, 1, bias=False)
            self.bn0 = nn.BatchNorm2d(wide, eps=1e-3)
        self.depthwise_conv = _same(wide, wide, k, stride, groups=wide)
        self.bn1 = nn.BatchNorm2d(wide, eps=1e-3)
        self.project_conv = nn.Conv2d(wide, outputs, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs, eps=1e-3)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x):
        y = x
        if self.expands:
            y = functional.relu6(self.bn0(self.expand_conv(y)), inplace=True)
        y = functional.relu6(self.bn1(self.depthwise_conv(y)), inplace=True)
        y = self.bn2(self.project_conv(y))
        return x + y if self.adds else y


class Lite0(nn.Module):
    """EfficientNet-Lite0, the sixth stage at stride 1."""

    def __init__(self):
        super().__init__()
        self.conv_stem = _same(3, STEM_FEATURES, 3, 2)
        self.bn0 = nn.BatchNorm2d(STEM_FEATURES, eps=1e-3)
        inputs, blocks = STEM_FEATURES, []
        for stage in LITE0:
            for repeat in range(stage.repeats):
                stride = stage.strides if repeat == 0 else 1
                blocks.append(
                    Inverted(
                        inputs, stage.features, stage.kernel_size, stride, stage.expand
                    )
                )
                inputs = stage.features
        self.blocks = nn.Sequential(*blocks)
        self.conv_head = nn.Conv2d(inputs, HEAD_FEATURES, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(HEAD_FEATURES, eps=1e-3)
        self.features = HEAD_FEATURES

    def forward(self, x):
        x = functional.relu6(self.bn0(self.conv_stem(x)), inplace=True)
        return functional.relu6(self.bn1(self.conv_head(self.blocks(x))), inplace=True)


def layout_of(network: nn.Module, device: str) -> torch.memory_format:
    """What is fastest: channels last, but for ResNets on a CPU."""
    depthwise = any(isinstance(module, Same) for module in network.modules())
    fits = device == "cuda" or depthwise
    return torch.channels_last if fits else torch.contiguous_format
