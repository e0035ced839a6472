"""The losses and table updates as a PyTorch user writes them, for comparison only."""

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np


def available() -> bool:
    """Whether PyTorch can be imported."""
    return importlib.util.find_spec("torch") is not None


def pedal(
    x: np.ndarray, table: np.ndarray, indices: np.ndarray, scale: float, k: int
) -> Callable[[], Any]:
    """Loss and gradient, part by part: all distances, own ones taken out, a full sort.

    These are the steps of PAUL's published loss, with the paper's s/2.
    """
    import torch

    leaf: Any = torch.tensor(x, requires_grad=True)
    rows, own = torch.tensor(table), torch.tensor(indices, dtype=torch.int64)

    def work():
        leaf.grad = None
        loss = leaf.new_zeros(())
        for part, memory in zip(leaf, rows, strict=True):
            squared = part.square().sum(1)[:, None] + memory.square().sum(1)[None, :]
            squared = squared - 2 * part @ memory.T
            others = torch.ones_like(squared, dtype=torch.bool)
            others[torch.arange(len(own)), own] = False
            squared = squared[others].view(len(own), -1).sort(dim=1).values
            weights = torch.exp(-scale / 2 * squared)
            loss = loss + (weights.sum(1).log() - weights[:, :k].sum(1).log()).mean()
        loss = loss / len(rows)
        loss.backward()
        return loss.detach().numpy(), leaf.grad.numpy()

    return work


def repelled(
    v: np.ndarray, table: np.ndarray, labels: np.ndarray, temperature: float
) -> Callable[[], Any]:
    """Loss and gradient by a linear layer over the memory and cross entropy."""
    import torch
    from torch.nn import functional

    leaf: Any = torch.tensor(v, requires_grad=True)
    rows, y = torch.tensor(table), torch.tensor(labels, dtype=torch.int64)

    def work():
        leaf.grad = None
        loss = functional.cross_entropy(leaf @ rows.T / temperature, y)
        loss.backward()
        return loss.detach().numpy(), leaf.grad.numpy()

    return work


def cluster_memory(
    table: np.ndarray, features: np.ndarray, labels: np.ndarray
) -> Callable[[], Any]:
    """BUC's update: sample after sample, in place."""
    import torch

    memory = torch.tensor(table)
    v, y = torch.tensor(features), labels.tolist()

    def work():
        for row, label in zip(v, y, strict=True):
            memory[label] = (memory[label] + row) / 2
            memory[label] /= memory[label].norm()
        return memory

    return work


def patch_memory(
    table: np.ndarray, patches: np.ndarray, indices: np.ndarray, rate: float
) -> Callable[[], Any]:
    """All rows of a batch at once; right only where no image comes twice."""
    import torch

    memory = torch.tensor(table)
    x, rows = torch.tensor(patches), torch.tensor(indices, dtype=torch.int64)

    def work():
        new = (1 - rate) * memory[:, rows] + rate * x
        memory[:, rows] = new / new.norm(dim=2, keepdim=True)
        return memory

    return work
