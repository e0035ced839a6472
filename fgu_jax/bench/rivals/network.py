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

from fgu_jax.bench.rivals import bodies
from fgu_jax.networks import backbones


class Network(nn.Module):
    """A body, the global feature of its map by a neck or not, and U patch heads."""

    def __init__(self, backbone: str, num_patches: int, patch_dim: int, *, neck: bool):
        super().__init__()
        self.backbone = bodies.body(backbone)
        inputs = self.backbone.features
        self.neck = nn.BatchNorm1d(inputs) if neck else nn.Identity()
        self.heads = nn.ModuleList(
            nn.Linear(inputs, patch_dim, bias=False) for _ in range(num_patches)
        )
        self.head_norms = nn.ModuleList(
            nn.BatchNorm1d(patch_dim) for _ in range(num_patches)
        )
        spec = backbones.find(backbone)
        self.register_buffer("mean", torch.tensor(spec.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(spec.std).view(1, 3, 1, 1))

    def forward(self, images):
        x = self.backbone((images - self.mean) / self.std).float()
        v = functional.normalize(self.neck(x.mean((2, 3))))
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
            kernel = tensor(params["kernel"])
            if kernel.ndim == 3:  # a filter a channel
                kernel = kernel[:, :, None]
            module.weight.data = kernel.permute(3, 2, 0, 1).clone()
            return
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data, module.bias.data = (
                tensor(params[name]) for name in ("scale", "bias")
            )
            module.running_mean = tensor(stats["mean"])
            module.running_var = tensor(stats["var"])
            return
        for name, child in module.named_children():
            if not isinstance(child, nn.Sequential):
                fill(child, params[name], stats.get(name))
                continue
            for i, part in enumerate(child):
                fill(part, params[f"{name}_{i}"], stats.get(f"{name}_{i}"))

    params, stats = variables["params"], variables["batch_stats"]
    if isinstance(network.neck, nn.BatchNorm1d):
        network.neck.weight.data = tensor(params["neck"]["scale"])
        network.neck.bias.data = tensor(params["neck"]["bias"])
        network.neck.running_mean = tensor(stats["neck"]["mean"])
        network.neck.running_var = tensor(stats["neck"]["var"])
    fill(network.backbone, params["backbone"], stats["backbone"])
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

    In the layout of ``bodies.layout_of``, with ``narrow`` in bfloat16 by autocast; the
    memories are updated as BUC and PAUL do it.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    layout = bodies.layout_of(network, device)
    network.to(device, memory_format=layout).train()
    if config.keep_statistics:
        network.backbone.eval()
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
