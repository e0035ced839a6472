"""Writes ``backbones.npz``: what PyTorch computes with the seeded weights, in float64.

    python tests/goldens/make_backbones.py

Needs torch; the test that reads the file does not. The networks are written from the
papers, with torchvision's names (ResNet) and those of EfficientNet-Lite0's package.
"""

from pathlib import Path

import numpy as np
import torch
from seeded import array, images
from torch import nn
from torch.nn import functional as F

HEIGHT, WIDTH, BATCH = 96, 48, 4


def conv(i: int, o: int, k: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(i, o, k, stride, k // 2, bias=False)


class ResidualBlock(nn.Module):
    def __init__(self, i: int, width: int, stride: int, bottleneck: bool):
        super().__init__()
        o = 4 * width if bottleneck else width
        if bottleneck:
            self.conv1, self.conv2 = conv(i, width, 1), conv(width, width, 3, stride)
            self.conv3, self.bn3 = conv(width, o, 1), nn.BatchNorm2d(o)
        else:
            self.conv1, self.conv2 = conv(i, width, 3, stride), conv(width, width, 3)
        self.bn1, self.bn2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.bottleneck = bottleneck
        if i != o or stride != 1:
            self.downsample = nn.Sequential(conv(i, o, 1, stride), nn.BatchNorm2d(o))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.bottleneck:
            y = self.bn3(self.conv3(F.relu(y)))
        return F.relu(y + (self.downsample(x) if hasattr(self, "downsample") else x))


class ResNet(nn.Module):
    def __init__(self, counts: tuple[int, ...], bottleneck: bool):
        super().__init__()
        self.conv1, self.bn1 = conv(3, 64, 7, 2), nn.BatchNorm2d(64)
        i = 64
        for n, (count, stride) in enumerate(zip(counts, (1, 2, 2, 1), strict=True)):
            blocks = []
            for j in range(count):
                s = stride if j == 0 else 1
                blocks.append(ResidualBlock(i, 64 << n, s, bottleneck))
                i = (64 << n) * (4 if bottleneck else 1)
            setattr(self, f"layer{n + 1}", nn.Sequential(*blocks))

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


def same(x, layer: nn.Conv2d):
    """TensorFlow's SAME: the odd row and column of padding behind."""
    pads = []
    for size in (x.shape[3], x.shape[2]):
        k, s = layer.kernel_size[0], layer.stride[0]
        total = max((-(-size // s) - 1) * s + k - size, 0)
        pads += [total // 2, total - total // 2]
    return layer(F.pad(x, pads))


def bare_conv(i: int, o: int, k: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(i, o, k, stride, bias=False, groups=groups)


def norm(features: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(features, eps=1e-3)


class Inverted(nn.Module):
    def __init__(self, i: int, o: int, k: int, stride: int, expand: int):
        super().__init__()
        wide = i * expand
        if expand != 1:
            self._expand_conv, self._bn0 = bare_conv(i, wide, 1), norm(wide)
        self._depthwise_conv = bare_conv(wide, wide, k, stride, groups=wide)
        self._bn1 = norm(wide)
        self._project_conv, self._bn2 = bare_conv(wide, o, 1), norm(o)
        self.shortcut = stride == 1 and i == o

    def forward(self, x):
        y = x
        if hasattr(self, "_expand_conv"):
            y = F.relu6(self._bn0(self._expand_conv(y)))
        y = F.relu6(self._bn1(same(y, self._depthwise_conv)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.shortcut else y


class Lite0(nn.Module):
    # repeats, kernel, stride, expansion, outputs; the sixth stride is 2 in the original
    STAGES = (
        (1, 3, 1, 1, 16),
        (2, 3, 2, 6, 24),
        (2, 5, 2, 6, 40),
        (3, 3, 2, 6, 80),
        (3, 5, 1, 6, 112),
        (4, 5, 1, 6, 192),
        (1, 3, 1, 6, 320),
    )

    def __init__(self):
        super().__init__()
        self._conv_stem, self._bn0 = bare_conv(3, 32, 3, 2), norm(32)
        blocks, i = [], 32
        for repeats, k, stride, expand, o in self.STAGES:
            for j in range(repeats):
                blocks.append(Inverted(i, o, k, stride if j == 0 else 1, expand))
                i = o
        self._blocks = nn.Sequential(*blocks)
        self._conv_head, self._bn1 = bare_conv(320, 1280, 1), norm(1280)

    def forward(self, x):
        x = F.relu6(self._bn0(same(x, self._conv_stem)))
        return F.relu6(self._bn1(self._conv_head(self._blocks(x))))


IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
NETWORKS = {
    "resnet50": (lambda: ResNet((3, 4, 6, 3), True), *IMAGENET),
    "resnet18": (lambda: ResNet((2, 2, 2, 2), False), *IMAGENET),
    "efficientnet_lite0": (Lite0, (127 / 255,) * 3, (128 / 255,) * 3),
}


def main() -> None:
    torch.manual_seed(0)
    goldens = {}
    for name, (make, mean, std) in NETWORKS.items():
        network = make().double()
        state = {
            key: torch.from_numpy(array(key, tuple(value.shape)))
            for key, value in network.state_dict().items()
            if not key.endswith("num_batches_tracked")
        }
        network.load_state_dict(state, strict=False)
        x = (images(BATCH, HEIGHT, WIDTH) - np.array(mean)) / np.array(std)
        x = torch.from_numpy(x.transpose(0, 3, 1, 2).copy())
        for mode in ("eval", "train"):
            network.train(mode == "train")
            with torch.no_grad():
                y = network(x).permute(0, 2, 3, 1).numpy()
            goldens[f"{name}/{mode}/pooled"] = y.mean(axis=(1, 2)).astype(np.float32)
            goldens[f"{name}/{mode}/map"] = y[..., ::256].astype(np.float32)
        last = "_bn1" if name == "efficientnet_lite0" else "layer4.1.bn2"
        for kind in ("mean", "var"):
            key = f"{last}.running_{kind}"
            value = network.state_dict()[key].numpy()
            goldens[f"{name}/{key}"] = value.astype(np.float32)
    path = Path(__file__).parent / "backbones.npz"
    np.savez_compressed(path, **goldens)
    print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
