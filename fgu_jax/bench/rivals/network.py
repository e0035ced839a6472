"""FGU's network and step as a PyTorch user writes them, for comparison only.

A module: importing it imports PyTorch. Weights are ours, copied over by name.
"""

import contextlib
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_BLOCKS = {"resnet50": (3, 4, 6, 3), "resnet18": (2, 2, 2, 2)}


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


class Network(nn.Module):
    """ResNet, last stage at stride 1; global feature and U patch heads."""

    def __init__(self, backbone: str, num_patches: int, patch_dim: int):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        inputs, bottleneck = 64, backbone == "resnet50"
        for stage, count in enumerate(_BLOCKS[backbone], start=1):
            width = 64 * 2 ** (stage - 1)
            blocks = []
            for i in range(count):
                stride = 2 if stage in (2, 3) and i == 0 else 1
                blocks.append(Block(inputs, width, stride, bottleneck))
                inputs = width * (4 if bottleneck else 1)
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.heads = nn.ModuleList(
            nn.Linear(inputs, patch_dim, bias=False) for _ in range(num_patches)
        )
        self.head_norms = nn.ModuleList(
            nn.BatchNorm1d(patch_dim) for _ in range(num_patches)
        )
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))

    def forward(self, images):
        x = functional.relu(self.bn1(self.conv1((images - self.mean) / self.std)))
        x = functional.max_pool2d(x, 3, 2, 1)
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
        x = x.float()
        v = functional.normalize(x.mean((2, 3)))
        stripes = functional.adaptive_avg_pool2d(x, (len(self.heads), 1))[..., 0]
        parts = [
            functional.normalize(norm(head(stripes[..., u])))
            for u, (head, norm) in enumerate(
                zip(self.heads, self.head_norms, strict=True)
            )
        ]
        return v, torch.stack(parts)


def copy_weights(network: Network, variables: dict[str, Any]) -> None:
    """Copies the variables of ``fgu_jax`` into the network."""

    def tensor(array):
        return torch.from_numpy(np.array(array, np.float32))

    def fill(module, params, stats):
        if isinstance(module, nn.Conv2d):
            module.weight.data = tensor(params["kernel"]).permute(3, 2, 0, 1).clone()
            return
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data, module.bias.data = (
                tensor(params[name]) for name in ("scale", "bias")
            )
            module.running_mean = tensor(stats["mean"])
            module.running_var = tensor(stats["var"])
            return
        for name, child in module.named_children():
            if name in ("heads", "head_norms", "downsample") and not len(child):
                continue
            if name.startswith("layer"):
                for i, block in enumerate(child):
                    key = f"{name}_{i}"
                    fill(block, params[key], stats[key])
            elif name == "downsample":
                fill(child[0], params["downsample_0"], None)
                fill(child[1], params["downsample_1"], stats["downsample_1"])
            elif name in params:
                fill(child, params[name], stats.get(name))

    params, stats = variables["params"], variables["batch_stats"]
    fill(network, params["backbone"], stats["backbone"])
    heads, norm = params["patch_heads"], params["patch_heads"]["bn"]
    pairs = zip(network.heads, network.head_norms, strict=True)
    for u, (head, head_norm) in enumerate(pairs):
        head.weight.data = tensor(heads["kernel"][u]).T.clone()
        head_norm.weight.data = tensor(norm["scale"][u])
        head_norm.bias.data = tensor(norm["bias"][u])


def train_step(
    network: Network,
    images: np.ndarray,
    batches: np.ndarray,
    tables: dict[str, np.ndarray],
    config: Any,
    *,
    learning_rate: float,
    narrow: bool,
) -> Callable[[], float]:
    """One step of FGU after another; each call gives the batch's loss.

    On a GPU channels-last, and with ``narrow`` bfloat16 by autocast; the memories are
    updated as BUC and PAUL do it.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    layout = torch.channels_last if device == "cuda" else torch.contiguous_format
    network.to(device).train()
    for weight in network.parameters():
        if weight.ndim == 4:
            weight.data = weight.data.contiguous(memory_format=layout)
    optimizer = torch.optim.SGD(
        network.parameters(), learning_rate, momentum=0.9, weight_decay=1e-4
    )
    pixels = torch.from_numpy(images).to(device)
    held = {name: torch.tensor(table).to(device) for name, table in tables.items()}
    turns = itertools.cycle(batches)

    def work():
        rows = torch.from_numpy(next(turns).astype(np.int64)).to(device)
        x = pixels[rows % len(pixels)].permute(0, 3, 1, 2).float() / 255
        x = x.contiguous(memory_format=layout)
        wide = contextlib.nullcontext()
        with torch.autocast(device, torch.bfloat16) if narrow else wide:
            v, parts = network(x)
        loss = _loss(v.float(), parts.float(), rows, held, config)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            table = held["cluster_memory"]
            for feature, label in zip(v.float(), rows.tolist(), strict=True):
                row = (table[label] + feature) / 2
                table[label] = row / row.norm()
            table, rate = held["patch_memory"], config.patch_rate
            new = (1 - rate) * table[:, rows] + rate * parts.float()
            table[:, rows] = functional.normalize(new, dim=2)
        return loss.item()

    return work


def _loss(v, parts, rows, held, config):
    logits = v @ held["cluster_memory"].T / config.temperature
    repelled = functional.cross_entropy(logits, rows)  # each image is its own cluster
    patch = 0.0
    for x, table in zip(parts, held["patch_memory"], strict=True):
        squared = x.square().sum(1)[:, None] + table.square().sum(1)[None, :]
        exponents = -config.scale / 2 * (squared - 2 * x @ table.T)
        exponents = exponents.scatter(1, rows[:, None], -torch.inf)
        nearest = exponents.topk(config.num_neighbors, dim=1).values
        patch = patch + (exponents.logsumexp(1) - nearest.logsumexp(1)).mean()
    return repelled + config.patch_weight * patch / len(parts)
