"""DINOv2: parity with its original, sizes, the names of its publishers."""

from functools import cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from goldens.seeded import array, images
from goldens.torch_file import View, zip_file
from safetensors.numpy import save_file

from fgu_jax.errors import InputError
from fgu_jax.networks import FOUNDATIONS, GlobalNetwork, build, images_at_once
from fgu_jax.networks.backbones import find, find_embedding
from fgu_jax.networks.vit import (
    VisionTransformer,
    patch_grid,
    resized_positions,
)
from fgu_jax.networks.weights import load_initial
from fgu_jax.networks.weights.dinov2 import of_dinov2
from fgu_jax.networks.weights.names import source_name, source_shape, take_backbone

GOLDENS = Path(__file__).parents[1] / "goldens" / "dinov2.npz"
SMALL = "dinov2_vits14"


def shapes_of(network, height=14, width=14):
    """Shapes of the variables, below ``backbone`` as a whole network has them."""
    x = jax.ShapeDtypeStruct((1, height, width, 3), jnp.float32)
    tree = jax.eval_shape(network.init, jax.random.key(0), x)
    return {"params": {"backbone": tree["params"]}}


def state_of(variables):
    """Arrays by the authors' names, from the seed."""
    state = {}
    for path, leaf in flatten_dict(variables).items():
        name = source_name(SMALL, path[2:])
        state[name] = array(name, source_shape(name, leaf.shape)).astype(np.float32)
    return state


@cache
def shallow():
    """S/14 with two blocks, as ``goldens/make_dinov2.py`` has it, and its arrays."""
    network = VisionTransformer(width=384, depth=2, heads=6)
    shapes = shapes_of(network)
    variables, _ = take_backbone(SMALL, shapes, state_of(shapes), "seed")
    return network, {"params": variables["params"]["backbone"]}


@cache  # of small widths, where only names are looked at
def tiny():
    return shapes_of(VisionTransformer(width=12, depth=2, heads=2))


@pytest.mark.parametrize("size", [(518, 518), (224, 224), (224, 112)])
def test_class_tokens_are_those_of_the_original(size):
    height, width = size
    # As in goldens/make_dinov2.py.
    x = images(2, -(-height // 8) * 8, -(-width // 8) * 8)[:, :height, :width]
    spec = find_embedding(SMALL)
    x = ((x - np.array(spec.mean)) / np.array(spec.std)).astype(np.float32)
    network, variables = shallow()
    tokens = np.asarray(jax.jit(network.apply)(variables, x))
    wanted = np.load(GOLDENS)[f"{height}x{width}"]
    assert tokens.dtype == np.float32
    assert np.abs(wanted).max() > 1
    np.testing.assert_allclose(tokens, wanted, rtol=0, atol=1e-4)


def test_positions_of_another_grid_by_a_slow_loop():
    table = np.random.default_rng(0).normal(size=(37 * 37, 3)).astype(np.float32)

    def cubic(x):  # Keys' kernel, a = -0.5
        x = abs(x)
        if x < 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0

    def weights(count):
        scale = 37 / count
        wide = max(scale, 1)  # antialiased: a wider kernel where the grid shrinks
        rows = []
        for k in range(count):
            centre = (k + 0.5) * scale
            row = [cubic((j + 0.5 - centre) / wide) for j in range(37)]
            rows.append(np.array(row) / sum(row))
        return np.array(rows)

    for rows, columns in [(16, 8), (40, 37)]:
        grid = table.reshape(37, 37, 3).astype(np.float64)
        wanted = np.einsum("ri,ijd->rjd", weights(rows), grid)
        wanted = np.einsum("cj,rjd->rcd", weights(columns), wanted).reshape(-1, 3)
        found = resized_positions(jnp.asarray(table), rows, columns)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(resized_positions(table, 37, 37), table)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((225, 224), "image_height=225 is no multiple of 14.*take 224"),
        ((224, 13), "image_width=13 is no multiple of 14.*take 14"),
        ((0, 224), "image_height=0 .*take 14"),
    ],
)
def test_sizes_that_are_no_whole_patches_are_refused(size, message):
    with pytest.raises(InputError, match=message):
        patch_grid(*size)
    with pytest.raises(InputError, match=message):
        images_at_once(SMALL, *size, 64)
    x = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
    network = VisionTransformer(width=12, depth=1, heads=2)
    with pytest.raises(InputError, match=message):
        jax.eval_shape(network.init, jax.random.key(0), x)


@pytest.mark.parametrize(
    ("name", "numbers"), [("dinov2_vits14", 22_056_192), ("dinov2_vitb14", 86_579_712)]
)
def test_the_networks_are_as_large_as_timm_s(name, numbers):
    x = jax.ShapeDtypeStruct((3, 28, 14, 3), jnp.float32)
    network = GlobalNetwork(name)
    apply = partial(network.init_with_output, train=False)
    features, variables = jax.eval_shape(apply, jax.random.key(0), x)
    leaves = jax.tree.leaves(variables)
    assert sum(leaf.size for leaf in leaves) == numbers
    assert features.global_features.shape == (3, FOUNDATIONS[name].channels)
    assert features.patches.shape == (0, 3, 0)


def test_the_feature_is_the_unit_class_token_of_normalised_images(monkeypatch):
    spec = find_embedding(SMALL)
    network, variables = shallow()
    monkeypatch.setattr(
        "fgu_jax.networks.embedding.find_embedding",
        lambda name: type(spec)(
            make=partial(VisionTransformer, width=384, depth=2, heads=6),
            channels=384,
            heads=6,
        ),
    )
    x = images(2, 16, 32)[:, :14, :28].astype(np.float32)
    normal = (x - np.array(spec.mean, np.float32)) / np.array(spec.std, np.float32)
    token = jax.jit(network.apply)(variables, normal)
    wanted = token / np.linalg.norm(token, axis=1, keepdims=True)
    whole = {"params": {"backbone": variables["params"]}}
    apply = jax.jit(partial(GlobalNetwork(SMALL).apply, train=False))
    features = apply(whole, x)
    np.testing.assert_allclose(features.global_features, wanted, atol=1e-5)
    with pytest.raises(ValueError, match="only embeds"):
        GlobalNetwork(SMALL).apply(whole, x, train=True)


def as_transformers(state, prefix=""):
    """The arrays as transformers' ``Dinov2Model`` names them."""
    named = {}
    for name, tensor in state.items():
        if ".attn.qkv." in name:
            before, leaf = name.split("attn.qkv.")
            for part, third in zip(
                ("query", "key", "value"), np.split(tensor, 3), strict=True
            ):
                named[f"{before}attention.attention.{part}.{leaf}"] = third
        else:
            named[name] = tensor
    words = {
        "cls_token": "embeddings.cls_token",
        "pos_embed": "embeddings.position_embeddings",
        "patch_embed.proj": "embeddings.patch_embeddings.projection",
        "attn.proj": "attention.output.dense",
        "ls1.gamma": "layer_scale1.lambda1",
        "ls2.gamma": "layer_scale2.lambda1",
    }
    renamed = {}
    for name, tensor in named.items():
        for old, new in words.items():
            name = name.replace(old, new)
        if name.startswith("norm."):
            name = f"layer{name}"
        renamed[prefix + name.replace("blocks.", "encoder.layer.")] = tensor
    renamed[prefix + "embeddings.mask_token"] = np.zeros((1, 12), np.float32)
    return renamed


def test_names_of_transformers_as_they_stand_in_its_files():
    # Seen in a file that Dinov2Model.save_pretrained of transformers 5.24 wrote.
    assert set(as_transformers(state_of(tiny()))) == {
        "embeddings.cls_token",
        "embeddings.mask_token",
        "embeddings.patch_embeddings.projection.bias",
        "embeddings.patch_embeddings.projection.weight",
        "embeddings.position_embeddings",
        "layernorm.bias",
        "layernorm.weight",
        *(
            f"encoder.layer.{k}.{name}"
            for k in (0, 1)
            for name in (
                "attention.attention.key.bias",
                "attention.attention.key.weight",
                "attention.attention.query.bias",
                "attention.attention.query.weight",
                "attention.attention.value.bias",
                "attention.attention.value.weight",
                "attention.output.dense.bias",
                "attention.output.dense.weight",
                "layer_scale1.lambda1",
                "layer_scale2.lambda1",
                "mlp.fc1.bias",
                "mlp.fc1.weight",
                "mlp.fc2.bias",
                "mlp.fc2.weight",
                "norm1.bias",
                "norm1.weight",
                "norm2.bias",
                "norm2.weight",
            )
        ),
    }


@pytest.mark.parametrize("publisher", ["authors", "timm", "transformers", "prefixed"])
def test_every_publisher_s_file_gives_the_same_weights(publisher, tmp_path):
    state = state_of(tiny())
    path = tmp_path / "weights.safetensors"
    if publisher == "authors":
        path = tmp_path / "weights.pth"
        extra = {"mask_token": np.zeros((1, 12), np.float32)}
        path.write_bytes(zip_file({k: View(v) for k, v in (state | extra).items()}))
    elif publisher == "timm":
        save_file(state, path)
    else:
        prefix = "dinov2." if publisher == "prefixed" else ""
        extra = {"classifier.weight": np.zeros((5, 24), np.float32)}
        save_file(as_transformers(state, prefix) | extra, path)
    variables, report = load_initial(str(path), SMALL, tiny())
    backbone = variables["params"]["backbone"]
    block = backbone["blocks_1"]
    qkv = state["blocks.1.attn.qkv.weight"]
    np.testing.assert_array_equal(block["attn"]["qkv"]["kernel"], qkv.T)
    gamma = state["blocks.1.ls2.gamma"]
    np.testing.assert_array_equal(block["ls2"]["gamma"], gamma)
    np.testing.assert_array_equal(
        backbone["patch_embed"]["proj"]["kernel"][3, 9, 1, 7],
        state["patch_embed.proj.weight"][7, 1, 3, 9],
    )
    np.testing.assert_array_equal(backbone["pos_embed"], state["pos_embed"])
    np.testing.assert_array_equal(backbone["norm"]["scale"], state["norm.weight"])
    assert len(report.taken) == len(state)
    assert not report.missing
    assert not {"cls_token", "norm.weight"} & set(report.left_over)


def test_weights_that_do_not_fit_are_refused_by_layer(tmp_path):
    state = state_of(tiny())
    path = tmp_path / "weights.safetensors"

    def refused(tensors, message):
        save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, path)
        with pytest.raises(InputError, match=message) as caught:
            load_initial(str(path), SMALL, tiny())
        assert "\n" not in str(caught.value)

    def without(tensors, name):
        return {k: v for k, v in tensors.items() if k != name}

    refused(without(state, "blocks.1.ls1.gamma"), "no layer blocks.1.ls1.gamma, which")
    refused(
        state | {"blocks.2.ls1.gamma": np.ones(12, np.float32)},
        "has a layer 'blocks.2.ls1.gamma' that dinov2_vits14 has not",
    )
    refused(
        state | {"pos_embed": np.zeros((1, 257, 12), np.float32)},
        r"'pos_embed' has shape \(1, 257, 12\), .* needs \(1, 1370, 12\)",
    )
    registers = np.zeros((1, 4, 12), np.float32)
    for name in ("register_tokens", "reg_token"):
        refused(state | {name: registers}, "with registers are not taken")
    theirs = as_transformers(state)
    refused(
        theirs | {"embeddings.register_tokens": registers},
        "'embeddings.register_tokens'.* with registers",
    )
    refused(
        without(theirs, "encoder.layer.1.attention.attention.key.bias"),
        r"attention of blocks.1.bias has 2 of query, key and value",
    )
    key = "encoder.layer.0.attention.attention.key.weight"
    refused(theirs | {key: np.zeros((6, 12), np.float32)}, r"\(6, 12\).*of one shape")


def test_names_of_nobody_are_left_as_they_are():
    tensors = {"conv1.weight": 1, "": 2}
    assert of_dinov2(tensors, "file") is tensors
    assert of_dinov2({"": 2, "embeddings.cls_token": 1}, "file") == {
        "": 2,
        "cls_token": 1,
    }


def test_a_network_that_only_embeds_is_not_trained():
    message = "'dinov2_vits14' only embeds .embed.py --backbone=dinov2_vits14.: to tr"
    with pytest.raises(InputError, match=message):
        find(SMALL)
    with pytest.raises(InputError, match=message):
        build(SMALL)
    with pytest.raises(InputError, match="did you mean 'dinov2_vits14'"):
        find_embedding("dinov2_vits")
    assert find_embedding("resnet18") is find("resnet18")


def test_fewer_large_images_go_together():
    assert images_at_once("resnet18", 1024, 1024, 64) == 64
    assert images_at_once("dinov2_vitb14", 224, 224, 64) == 64
    assert images_at_once("dinov2_vits14", 518, 518, 64) == 5
    assert images_at_once("dinov2_vitb14", 2800, 2800, 64) == 1
