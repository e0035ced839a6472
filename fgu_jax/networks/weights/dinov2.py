"""DINOv2's arrays as each of its publishers names them, brought to the authors' names.

The authors (``dinov2_vits14_pretrain.pth``) and timm
(``vit_small_patch14_dinov2.lvd142m``) have the same names, such as
``blocks.0.attn.qkv.weight``. transformers (``facebook/dinov2-small``) has
``encoder.layer.0``, and queries, keys and values apart.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from fgu_jax.errors import InputError

_REGISTERS = ("register_tokens", "reg_token")
_MARK = "embeddings.cls_token"  # of transformers, behind any prefix
_OUTSIDE = {
    "embeddings.cls_token": "cls_token",
    "embeddings.mask_token": "mask_token",
    "embeddings.position_embeddings": "pos_embed",
    "embeddings.patch_embeddings.projection": "patch_embed.proj",
    "layernorm": "norm",
}
_IN_BLOCK = {
    "attention.output.dense": "attn.proj",
    "layer_scale1.lambda1": "ls1.gamma",
    "layer_scale2.lambda1": "ls2.gamma",
}
_LEAF = r"(?P<leaf>(?:\.(?:weight|bias))?)"
_BLOCK = re.compile(rf"encoder\.layer\.(?P<block>\d+)\.(?P<part>.+?){_LEAF}")
_PART = re.compile(rf"(?P<part>.+?){_LEAF}")
_QUERY, _KEY, _VALUE = (f"attention.attention.{k}" for k in ("query", "key", "value"))


def of_dinov2(tensors: Mapping[str, Any], source: str) -> Mapping[str, Any]:
    """The tensors of a DINOv2 under its authors' names, whoever published them.

    What has transformers' names is told by ``embeddings.cls_token``; a prefix before it
    is taken off. All else is left as it is. Raises ``InputError``, naming ``source``,
    for weights with registers, which are of another network, and for a block that has
    only some of its queries, keys and values, or of shapes that differ.

    >>> list(of_dinov2({"embeddings.cls_token": 0, "layernorm.bias": 1}, "file"))
    ['cls_token', 'norm.bias']
    """
    for name in tensors:
        if name.rpartition(".")[2] in _REGISTERS:
            raise InputError(
                f"{source} has {name!r}: weights of DINOv2 with registers are not "
                "taken, give those without"
            )
    marks = [name for name in tensors if name.endswith(_MARK)]
    if not marks:
        return tensors
    prefix = min(marks, key=len).removesuffix(_MARK)
    named: dict[str, Any] = {}
    apart: dict[tuple[str, str], dict[str, Any]] = {}
    for name, tensor in tensors.items():
        block, part, leaf = _renamed(name.removeprefix(prefix))
        if part in (_QUERY, _KEY, _VALUE):
            apart.setdefault((block, leaf), {})[part] = tensor
        else:
            named[block + part + leaf] = tensor
    for (block, leaf), parts in apart.items():
        named[f"{block}attn.qkv{leaf}"] = _joined(block, leaf, parts, source)
    return named


def _renamed(name: str) -> tuple[str, str, str]:
    """What stands before, the part in the authors' words, and the leaf of a name."""
    if match := _BLOCK.fullmatch(name):
        part = _IN_BLOCK.get(match["part"], match["part"])
        return f"blocks.{match['block']}.", part, match["leaf"]
    match = _PART.fullmatch(name)
    if match is None:  # an empty name
        return "", name, ""
    return "", _OUTSIDE.get(match["part"], match["part"]), match["leaf"]


def _joined(block: str, leaf: str, parts: Mapping[str, Any], source: str) -> np.ndarray:
    """Queries, keys and values one above the other, as the authors hold them."""
    found = [np.asarray(parts[k]) for k in (_QUERY, _KEY, _VALUE) if k in parts]
    shapes = [array.shape for array in found]
    if len(found) < 3 or len(set(shapes)) > 1 or not shapes[0]:
        raise InputError(
            f"{source}: the attention of {block}{leaf[1:]} has {len(found)} of query, "
            f"key and value, of shapes {', '.join(map(str, shapes))}: it needs all "
            "three, of one shape; get it again"
        )
    return np.concatenate(found)
