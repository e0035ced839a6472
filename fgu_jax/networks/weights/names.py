"""Which tensor of PyTorch's each of our parameters is, and how it lies in memory."""

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from fgu_jax.errors import InputError
from fgu_jax.networks.weights.dinov2 import of_dinov2

_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}


@dataclass(frozen=True)
class Report:
    """What a start took: our names, and of what was left over the source's names."""

    source: str
    taken: tuple[str, ...]
    missing: tuple[str, ...]  # keep their random start
    left_over: tuple[str, ...]

    def lines(self) -> list[str]:
        """For a person: one line a kind, the first names of each."""
        return [
            f"weights: {self.source}",
            f"  taken {len(self.taken)} arrays: {_few(self.taken)}",
            f"  new {len(self.missing)} arrays: {_few(self.missing)}",
            f"  left over {len(self.left_over)} arrays: {_few(self.left_over)}",
        ]


def _few(names: tuple[str, ...], count: int = 3) -> str:
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more if names else "none"


def source_name(backbone: str, path: tuple[str, ...]) -> str:
    """PyTorch's name of the backbone's array at ``path``.

    >>> source_name("resnet50", ("layer1_0", "downsample_1", "mean"))
    'layer1.0.downsample.1.running_mean'
    >>> source_name("efficientnet_lite0", ("blocks_3", "bn0", "scale"))
    '_blocks.3._bn0.weight'
    >>> source_name("dinov2_vits14", ("blocks_3", "ls1", "gamma"))
    'blocks.3.ls1.gamma'
    """
    mark = "_" if backbone.startswith("efficientnet") else ""
    modules = [mark + re.sub(r"_(\d+)$", r".\1", part) for part in path[:-1]]
    return ".".join([*modules, _LEAVES.get(path[-1], path[-1])])


def source_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """PyTorch's shape of a kernel of ours: OIHW for HWIO, C1HW for HWC, OI for IO."""
    if name.endswith("weight") and len(shape) == 4:
        return shape[3], shape[2], shape[0], shape[1]
    if name.endswith("weight") and len(shape) == 3:
        return shape[2], 1, shape[0], shape[1]
    if name.endswith("weight") and len(shape) == 2:
        return shape[1], shape[0]
    return shape


def _ours(name: str, tensor: np.ndarray, ndim: int) -> np.ndarray:
    if not name.endswith("weight"):
        return tensor
    if ndim == 4:
        return tensor.transpose(2, 3, 1, 0)
    if ndim == 3:
        return tensor[:, 0].transpose(1, 2, 0)
    return tensor.T  # of one dimension: itself


def take_backbone(
    backbone: str, variables: Mapping[str, Any], tensors: Mapping[str, Any], source: str
) -> tuple[dict[str, Any], Report]:
    """``variables`` with the backbone's arrays replaced by PyTorch's ``tensors``.

    Every array of the backbone must be there, of its shape and finite, and no block of
    a larger network may be left over: half a start is none. Classifiers are left over.
    Raises ``InputError`` naming the layer and both shapes.
    """
    flat = flatten_dict(variables)
    new, used, missing, absent = {}, {}, [], []
    wanted_names = {
        source_name(backbone, path[2:]): path for path in flat if path[1] == "backbone"
    }
    if backbone.startswith("dinov2"):
        tensors = of_dinov2(tensors, source)
    else:
        tensors = of_sequence(tensors)
    prefix = find_prefix(wanted_names, tensors)
    for path, old in flat.items():
        _, part, *rest = path
        ours = "/".join(path)
        if part != "backbone":
            missing.append(ours)
            continue
        name = prefix + source_name(backbone, tuple(rest))
        if name not in tensors:
            absent.append(name)
            continue
        tensor = np.asarray(tensors[name])
        wanted = source_shape(name, old.shape)
        if tensor.shape != wanted:
            raise InputError(
                f"{source}: layer {name!r} has shape {tensor.shape}, {backbone} needs "
                f"{wanted}: these are weights of another architecture"
            )
        value = _ours(name, tensor, len(old.shape)).astype(old.dtype)
        if not np.isfinite(value).all():
            raise InputError(f"{source}: layer {name!r} is not finite: get it again")
        new[path], used[name] = value, ours
    if absent:
        raise InputError(
            f"{source} has no layer {_few(tuple(absent), 1)}, which {backbone} needs: "
            "these are weights of another architecture, or not under the names of "
            "torchvision, timm, transformers or the package they are from; it begins "
            f"with "
            f"{_few(tuple(tensors), 4)}"
        )
    left_over = tuple(name for name in tensors if name not in used)
    start = len(prefix)
    roots = {name[start:].split(".")[0] for name in used}
    for name in left_over:
        counter = name.endswith("num_batches_tracked")
        under = name.startswith(prefix) and name[start:].split(".")[0] in roots
        if under and not counter:
            raise InputError(
                f"{source} has a layer {name!r} that {backbone} has not: "
                "these are weights of another architecture"
            )
    merged = unflatten_dict(flat | new)
    told = f"{source}, under {prefix!r}" if prefix else source
    return merged, Report(told, tuple(used.values()), tuple(missing), left_over)


def of_sequence(tensors: Mapping[str, Any]) -> Mapping[str, Any]:
    """A ResNet that was put into a ``Sequential`` by its own names again.

    SpCL and Cluster Contrast number its parts: ``base.0`` is ``conv1``, ``base.1``
    ``bn1``, and the four that have blocks ``layer1`` to ``layer4``.

    >>> names = ["base.0.weight", *(f"base.{k}.0.conv1.weight" for k in (3, 4, 5, 6))]
    >>> list(of_sequence(dict.fromkeys(names)))[1:3]
    ['base.layer1.0.conv1.weight', 'base.layer2.0.conv1.weight']
    """
    block = re.compile(r"(|.*\.)(\d+)\.0\.conv1\.weight")
    layers: dict[str, list[int]] = {}
    for match in filter(None, map(block.fullmatch, tensors)):
        if f"{match[1]}0.weight" in tensors:
            layers.setdefault(match[1], []).append(int(match[2]))
    new: dict[str, str] = {}
    for prefix, numbers in layers.items():
        if len(numbers) == 4:
            new |= {f"{prefix}0.": f"{prefix}conv1.", f"{prefix}1.": f"{prefix}bn1."}
            for k, number in enumerate(sorted(numbers), 1):
                new[f"{prefix}{number}."] = f"{prefix}layer{k}."
    if not new:
        return tensors
    part = re.compile("|".join(re.escape(old) for old in sorted(new, key=len)[::-1]))

    def renamed(name: str) -> str:
        match = part.match(name)
        return name if match is None else new[match[0]] + name[match.end() :]

    return {renamed(name): tensor for name, tensor in tensors.items()}


def find_prefix(wanted: Collection[str], names: Collection[str]) -> str:
    """What stands before all names of a network among a file's, as toolkits put it.

    ``module.``, ``backbone.``, ``module.encoder_q.``, ``_orig_mod.`` and so on: the one
    under which most of the names are; of two as good, the shortest, and an exponential
    mean (``teacher``, ``encoder_k``, ``ema``) only where nothing else is there.

    >>> find_prefix({"conv1.weight", "bn1.bias"}, ["m.conv1.weight", "m.bn1.bias"])
    'm.'
    """
    counts: Counter[str] = Counter()
    for name in names:
        parts = name.split(".")
        for k in range(len(parts)):
            if ".".join(parts[k:]) in wanted:
                counts["".join(f"{part}." for part in parts[:k])] += 1

    def rank(prefix: str) -> tuple[int, bool, int, str]:
        mean = any(word in prefix for word in ("encoder_k", "teacher", "ema", "mean"))
        return -counts[prefix], mean, len(prefix), prefix

    return min(counts, key=rank, default="")


def take_same(
    variables: Mapping[str, Any], stored: Mapping[str, Any], source: str
) -> tuple[dict[str, Any], Report]:
    """``variables`` with every array that ``stored`` has under the same name.

    The backbone must be there whole; heads that are not there stay. An array of
    another shape is refused with both shapes.
    """
    flat, given = flatten_dict(variables), flatten_dict(stored)
    taken, missing = [], []
    new = {}
    for path, old in flat.items():
        name = "/".join(path)
        if path not in given:
            if path[1] == "backbone":
                raise InputError(
                    f"{source} has no {name!r}: it is a checkpoint of another backbone"
                )
            missing.append(name)
            continue
        value = given[path]
        if np.shape(value) != old.shape:
            raise InputError(
                f"{source}: {name!r} has shape {np.shape(value)}, this network needs "
                f"{old.shape}: use the backbone, num_patches and image size it had"
            )
        new[path] = np.asarray(value).astype(old.dtype)
        taken.append(name)
    left_over = tuple("/".join(map(str, p)) for p in given if p not in flat)
    merged = unflatten_dict(flat | new)
    return merged, Report(source, tuple(taken), tuple(missing), left_over)


def shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    """Every array's name, ``/`` between its parts, and its shape."""
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {"/".join(str(k.key) for k in path): tuple(a.shape) for path, a in flat}
