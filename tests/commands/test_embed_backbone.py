"""embed.py --backbone: published networks, their weights, sizes and parts."""

import json
import sys
import types
from functools import partial

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from goldens.seeded import array
from safetensors.numpy import save_file

from fgu_jax.commands.embed import parser
from fgu_jax.data import load_dataset
from fgu_jax.errors import InputError
from fgu_jax.inference.pretrained import load_pretrained
from fgu_jax.networks import GlobalNetwork, backbones
from fgu_jax.networks.backbones import Foundation
from fgu_jax.networks.vit import VisionTransformer
from fgu_jax.networks.weights.names import source_name, source_shape

SMALL = "dinov2_vits14"


@pytest.fixture(autouse=True)
def small_transformer(monkeypatch):
    """One narrow block goes by the name of S/14: what is tested is the way there."""
    make = partial(VisionTransformer, width=16, depth=1, heads=2)
    small = Foundation(make=make, channels=16, heads=2)
    monkeypatch.setattr(backbones, "FOUNDATIONS", {SMALL: small})


def weights(path, backbone, seed=0):
    """A file of seeded arrays of a backbone, under its publisher's names."""
    init = partial(GlobalNetwork(backbone).init, train=False)
    x = jax.ShapeDtypeStruct((1, 28, 28, 3), np.float32)
    tensors = {}
    for where, leaf in flatten_dict(jax.eval_shape(init, jax.random.key(0), x)).items():
        name = source_name(backbone, where[2:])
        shape = source_shape(name, leaf.shape)
        tensors[name] = np.ascontiguousarray(array(name, shape, seed), np.float32)
    save_file(tensors, path)
    return path


@pytest.fixture
def transformer(tmp_path):
    return weights(tmp_path / "small.safetensors", SMALL)


def embed(run_command, photos, output, *flags):
    return run_command("embed", *flags, f"--images={photos}", f"--output={output}")


def test_a_folder_by_a_transformer(run_command, photos, transformer, tmp_path):
    output = tmp_path / "features.npz"
    code, out, err = embed(
        run_command,
        photos,
        output,
        f"--backbone={SMALL}",
        f"--init={transformer}",
        "--image_height=56",
        "--image_width=28",
    )
    assert (code, err) == (0, "")
    assert "24 images, 16 numbers each" in out
    assert f"weights: {transformer}" in out
    with np.load(output) as found:
        names, features = tuple(found["names"].tolist()), found["features"]
        run = json.loads(str(found["run"]))
    images = load_dataset("folder", data_dir=photos).train
    assert names == images.names
    given = {"init": str(transformer), "image_height": 56, "image_width": 28}
    network, _ = load_pretrained(SMALL, **given)
    np.testing.assert_array_equal(features, network(images.decode(56, 28)))
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-6)
    assert len(np.unique(features, axis=0)) == 24
    assert run["identity"] == network.identity
    assert (run["step"], run["part"]) == (None, "global")
    weights_told = {"backbone": SMALL, "resize": "squash", "weights": str(transformer)}
    assert run["config"] == given | weights_told

    table = tmp_path / "clusters.csv"
    code, out, err = run_command("cluster", f"--features={output}", f"--output={table}")
    assert (code, err) == (0, "")
    assert len(table.read_text().splitlines()) == 25


def test_a_map_is_averaged(run_command, photos, tmp_path):
    file = weights(tmp_path / "tiny.safetensors", "resnet_tiny")
    output = tmp_path / "features.npz"
    flags = ("--backbone=resnet_tiny", f"--init={file}", "--image_height=64")
    code, out, err = embed(
        run_command, photos, output, *flags, "--image_width=32", "--part=fused"
    )
    assert (code, err) == (0, "")
    assert "24 images, 256 numbers each" in out
    images = load_dataset("folder", data_dir=photos).train.decode(64, 32)
    network, _ = load_pretrained(
        "resnet_tiny", init=str(file), image_height=64, image_width=32
    )
    spec = backbones.find("resnet_tiny")
    inner = {k: v["backbone"] for k, v in jax.device_get(network._variables).items()}
    normal = (images / 255 - np.array(spec.mean)) / np.array(spec.std)
    apply = jax.jit(partial(spec.make().apply, train=False))
    mean = apply(inner, normal.astype(np.float32)).mean((1, 2))
    wanted = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    np.testing.assert_allclose(np.load(output)["features"], wanted, atol=1e-5)


def test_an_identity_is_of_weights_and_size_and_not_of_the_file(tmp_path, transformer):
    copy = weights(tmp_path / "copy.safetensors", SMALL)
    other = weights(tmp_path / "other.safetensors", SMALL, seed=1)

    def identity(path, height=28):
        size = {"image_height": height, "image_width": 28}
        return load_pretrained(SMALL, init=str(path), **size)[0].identity

    assert identity(copy) == identity(transformer)
    assert len({identity(transformer), identity(other), identity(copy, 56)}) == 3


def test_it_has_no_local_feature(transformer):
    network, _ = load_pretrained(
        SMALL, init=str(transformer), image_height=28, image_width=28
    )
    image = np.random.default_rng(0).integers(0, 256, (2, 28, 28, 3), np.uint8)
    np.testing.assert_array_equal(network(image), network(image, part="global"))
    with pytest.raises(InputError, match="part is 'local': choose fused or global"):
        network(image, part="local")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "give --checkpoint=RUN or --backbone=NAME\n"),
        (
            (f"--backbone={SMALL}", "--checkpoint=runs/a"),
            f"or --backbone=NAME, not both (runs/a, {SMALL})",
        ),
        (("--checkpoint=runs/a", "--init=x.pth"), "--init goes with --backbone"),
        (("--checkpoint=r", "--image_width=28"), "--image_width goes with --backbone"),
        ((f"--backbone={SMALL}", "--part=local"), "it has only a global feature"),
        (
            (f"--backbone={SMALL}", "--image_height=225"),
            "image_height=225 is no multiple of 14, the side of a patch: take 224",
        ),
        (("--backbone=dinov2_vits",), f"did you mean '{SMALL}'?"),
        (("--backbone=resnet18", "--image_height=0"), "both must be at least 1"),
        ((f"--backbone={SMALL}", "--init=random"), "for --init=lvd142m, or name"),
        (
            (f"--backbone={SMALL}", "--init=imagenet"),
            "no weights called 'imagenet': use --init=lvd142m",
        ),
        (
            ("--backbone=efficientnet_lite0", "--init=lvd142m"),
            "no weights called 'lvd142m': use --init=imagenet",
        ),
        (("--backbone=resnet_tiny",), "'resnet_tiny' has no ImageNet weights"),
        ((f"--backbone={SMALL}", "--init=absent.pth"), "no such file or folder"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(
    run_command, photos, tmp_path, flags, message
):
    output = tmp_path / "f.npz"
    code, _, err = embed(run_command, photos, output, *flags)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert not output.exists()


def test_without_the_hub_both_ways_out_are_named(
    run_command, photos, tmp_path, monkeypatch
):
    def download(repository, name):
        assert (repository, name) == (
            "timm/vit_small_patch14_dinov2.lvd142m",
            "model.safetensors",
        )
        raise OSError("no route")

    hub = types.SimpleNamespace(
        hf_hub_download=download,
        constants=None,
        try_to_load_from_cache=lambda repository, name: "somewhere",
    )
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    code, _, err = embed(run_command, photos, tmp_path / "f.npz", f"--backbone={SMALL}")
    assert code == 2
    assert err.count("\n") == 1
    assert "timm/vit_small_patch14_dinov2.lvd142m cannot be had" in err
    assert "go online once, or download its model.safetensors elsewhere" in err
    assert "--init=FILE" in err
    assert "--init=random" not in err


def test_training_refuses_it_in_one_line(run_command, drawn_folder, tmp_path):
    code, _, err = run_command(
        "train",
        "--dataset=market1501",
        f"--data_dir={drawn_folder}",
        f"--workdir={tmp_path / 'run'}",
        f"--backbone={SMALL}",
    )
    assert code == 2
    assert err.count("\n") == 1
    assert f"backbone '{SMALL}' only embeds (embed.py --backbone={SMALL})" in err


def test_help_names_the_networks():
    said = parser().format_help()
    assert "dinov2_vits14 or dinov2_vitb14" in " ".join(said.split())
