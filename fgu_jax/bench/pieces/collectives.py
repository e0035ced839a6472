"""What a compiled step sends between devices, read from its text."""

import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

_OPERATION = re.compile(
    r"= (?P<shapes>\([^)]*\)|\S+) "
    r"(?P<kind>all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)"
    r"(-start)?\("
)
_SHAPE = re.compile(r"(?P<type>[a-z]+\d+)\[(?P<sizes>[\d,]*)\]")


def collective_bytes(compiled: str) -> dict[str, int]:
    """Bytes of the results of collectives, by kind, in the text of a compiled module.

    >>> line = "  %a = (f32[2,3]{1,0}, s32[4]{0}) all-reduce(%x, %y), channel_id=1"
    >>> collective_bytes(line)
    {'all-reduce': 40}
    """
    found: dict[str, int] = {}
    for operation in _OPERATION.finditer(compiled):
        total = 0
        for shape in _SHAPE.finditer(operation["shapes"]):
            sizes = [int(size) for size in shape["sizes"].split(",") if size]
            bits = int(re.sub(r"\D", "", shape["type"]))
            total += int(np.prod(sizes, dtype=np.int64)) * bits // 8
        found[operation["kind"]] = found.get(operation["kind"], 0) + total
    return found


def predicted_bytes(
    variables: Mapping[str, Any], batch: int, features: Any
) -> dict[str, int]:
    """What the design sends in a step, by kind.

    Args:
      variables: ``params`` (their gradients are averaged) and ``batch_stats`` (means
        and variances are averaged forwards, their gradients backwards).
      batch: B, over all devices; features, patches, labels and rows are gathered.
      features: the network's, of one image, as arrays or shapes.
    """
    gradients = _bytes(variables["params"])
    statistics = 2 * _bytes(variables["batch_stats"])
    losses = 4 * 4
    return {
        "all-reduce": gradients + statistics + losses,
        "all-gather": batch * (_bytes(features) + 2 * 4),
    }


def _bytes(tree: Any) -> int:
    leaves = jax.tree.leaves(tree)
    return sum(int(np.prod(x.shape)) * np.dtype(x.dtype).itemsize for x in leaves)
