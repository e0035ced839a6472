"""Weights from elsewhere: files of PyTorch and safetensors, ImageNet, checkpoints."""

from fgu_jax.networks.weights.initial import load_initial, published
from fgu_jax.networks.weights.names import Report
from fgu_jax.networks.weights.pth import read_pth

__all__ = ["Report", "load_initial", "published", "read_pth"]
