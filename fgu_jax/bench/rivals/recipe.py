"""An epoch of ``tuned`` as a PyTorch user writes it, for comparison only.

A module: importing it imports PyTorch. Clusters by dense matrices, as published code
has them; SciPy's average linkage.
"""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.cluster.hierarchy as hierarchy
import torch
from scipy.spatial.distance import squareform
from torch.nn import functional

from fgu_jax.bench.rivals import bodies
from fgu_jax.bench.rivals.network import Network
from fgu_jax.bench.rivals.retrieval import jaccard_rows
from fgu_jax.clustering.cameras import centred
from fgu_jax.inference.passes import fused
from fgu_jax.training.left_out import without_those_alone
from fgu_jax.training.sampling import clusters_order

_BLOCK = 64  # images at once in the pass


def epochs(network: Network, start: Any) -> Callable[[], tuple[float, int]]:
    """One epoch after another; each call gives its mean loss and the clusters after.

    Args:
      network: of ``plain_network``.
      start: of ``pieces.recipe``.
    """
    config = start.config
    device = "cuda" if torch.cuda.is_available() else "cpu"
    layout = bodies.layout_of(network, device)
    network.to(device, memory_format=layout)
    optimizer = torch.optim.Adam(
        network.parameters(), config.learning_rate, weight_decay=config.weight_decay
    )
    pixels = torch.from_numpy(start.images).to(device)
    random.seed(0)
    torch.manual_seed(0)
    held: dict[str, Any] = {"epoch": 0, "labels": start.labels}
    held["tables"] = _means(start.features, start.labels)

    def images_of(rows) -> torch.Tensor:
        return pixels[rows].to(device).permute(0, 3, 1, 2).float() / 255

    def train(rows: np.ndarray) -> float:
        x = _augmented(images_of(rows), config.erasing)
        y = torch.from_numpy(held["labels"][rows].astype(np.int64)).to(device)
        v, parts = network(x.contiguous(memory_format=layout))
        features = torch.cat([v[None], _padded(parts, v.shape[1])])
        tables = held["tables"].to(device)
        logits = torch.einsum("ubd,ucd->ubc", features, tables) / config.temperature
        each = torch.stack([functional.cross_entropy(part, y) for part in logits])
        loss = each[0] + config.patch_weight * each[1:].mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for feature, label in zip(features.unbind(1), y.tolist(), strict=True):
                row = tables[:, label] + config.memory_rate * (
                    feature - tables[:, label]
                )
                tables[:, label] = functional.normalize(row, dim=1)
        return loss.item()

    @torch.inference_mode()
    def embed() -> tuple[np.ndarray, np.ndarray]:
        network.eval()
        whole, parts = [], []
        for rows in torch.arange(len(pixels)).split(_BLOCK):
            v, x = network(images_of(rows).contiguous(memory_format=layout))
            whole.append(v.cpu())
            parts.append(x.cpu())
        return torch.cat(whole).numpy(), torch.cat(parts, dim=1).numpy()

    def work() -> tuple[float, int]:
        held["epoch"] += 1
        network.train()
        network.backbone.eval()  # statistics are kept
        order = clusters_order(
            config.seed,
            held["epoch"],
            held["labels"],
            config.batch_size,
            per_cluster=config.images_a_cluster,
            cameras=start.view,
        )
        losses = [train(rows) for rows in order]
        features = embed()
        held["labels"] = labels = _clusters(features, start.view, config)
        held["tables"] = _means(features, labels)
        return sum(losses) / len(losses), int(labels.max()) + 1

    return work


def _augmented(x: torch.Tensor, erasing: float) -> torch.Tensor:
    """Mirrored by chance, and by chance a rectangle of the mean colour (Zhong 2020)."""
    mirrored = torch.rand(len(x)) < 0.5
    x = torch.where(mirrored[:, None, None, None].to(x.device), x.flip(3), x)
    _, _, height, width = x.shape
    for image in x:
        if random.random() >= erasing:
            continue
        for _ in range(10):
            area = random.uniform(0.02, 0.4) * height * width
            aspect = random.uniform(0.3, 1 / 0.3)
            h, w = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
            if h < height and w < width:
                i, j = random.randint(0, height - h), random.randint(0, width - w)
                mean = image.mean((1, 2), keepdim=True)
                image[:, i : i + h, j : j + w] = mean
                break
    return x


def _padded(parts: torch.Tensor, width: int) -> torch.Tensor:
    """Parts [U, B, d] as [U, B, D], zeros at the end, so that one product does all."""
    return functional.pad(parts, (0, width - parts.shape[2]))


def _means(features: Any, labels: np.ndarray) -> torch.Tensor:
    """Unit means of each cluster, [1 + U, C, D]."""
    whole, parts = (torch.from_numpy(np.array(x)) for x in features)
    every = torch.cat([whole[None], _padded(parts, whole.shape[1])])
    inside = torch.from_numpy(np.flatnonzero(labels >= 0))
    of = torch.from_numpy(labels[labels >= 0].astype(np.int64))
    table = every.new_zeros(len(every), int(labels.max()) + 1, whole.shape[1])
    return functional.normalize(table.index_add(1, of, every[:, inside]), dim=2)


def _clusters(features: Any, view: np.ndarray, config: Any) -> np.ndarray:
    compared = centred(fused(*features)["fused"], view)
    jaccard, _ = jaccard_rows(compared, len(compared), config.k1, config.k2)
    distance = np.maximum((jaccard + jaccard.T) / 2, 0)
    np.fill_diagonal(distance, 0)
    tree = hierarchy.linkage(squareform(distance, checks=False), "average")
    labels = hierarchy.fcluster(tree, config.max_distance, "distance") - 1
    return without_those_alone(labels.astype(np.int32))
