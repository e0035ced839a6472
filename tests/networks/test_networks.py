"""Networks: shapes, names, parity with PyTorch, heads, devices, bad arguments."""

import json
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict
from goldens.seeded import array, images, seeded_variables
from jax.sharding import AxisType, PartitionSpec

from fgu_jax.errors import InputError
from fgu_jax.networks import (
    BACKBONES,
    build,
    check_num_patches,
    feature_map_size,
    frozen_parameters,
    global_dim,
)
from fgu_jax.networks.backbones import find
from fgu_jax.networks.weights.names import (
    shapes,
    source_name,
    source_shape,
    take_backbone,
)

HERE = Path(__file__).parents[1]
TORCH_BACKBONES = ("resnet18", "resnet50", "efficientnet_lite0")


def tiny(**kwargs):
    return build("resnet_micro", **{"num_patches": 4, "patch_dim": 8} | kwargs)


def start(network, batch=4, height=64, width=32):
    x = images(batch, height, width).astype(jnp.dtype(network.param_dtype))
    return seeded_variables(network, x), x


@partial(jax.jit, static_argnames=("network", "train"))
def forward(network, variables, x, train=False):
    if not train:
        return network.apply(variables, x, train=False), variables["batch_stats"]
    features, new = network.apply(variables, x, train=True, mutable=["batch_stats"])
    return features, new["batch_stats"]


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("neck", [False, True])
def test_features_are_unit_rows_of_the_promised_shapes(train, neck):
    network = tiny(neck=neck)
    variables, x = start(network)
    features, _ = forward(network, variables, x, train)
    assert features.global_features.shape == (4, global_dim("resnet_micro"))
    assert features.patches.shape == (4, 4, 8)
    for part in features:
        assert part.dtype == jnp.float32
        np.testing.assert_allclose(jnp.linalg.norm(part, axis=-1), 1, atol=1e-5)
    assert ("neck" in variables["params"]) == neck


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("size", [(256, 128), (97, 31), (1, 1)])
def test_feature_map_size_is_that_of_the_network(backbone, size):
    spec = find(backbone)
    network = spec.make()
    x = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
    apply = partial(network.init_with_output, train=False)
    y, _ = jax.eval_shape(apply, jax.random.key(0), x)
    assert y.shape == (1, *feature_map_size(backbone, *size), global_dim(backbone))


def test_parameter_names_and_shapes_are_those_committed():
    from goldens.make_parameter_names import PATH, parameter_names

    assert parameter_names() == json.loads(PATH.read_text()), (
        "names or shapes changed: old checkpoints will not load. If that is meant: "
        "python tests/goldens/make_parameter_names.py"
    )


def seeded_backbone(backbone, dtype):
    """The module, variables from the seeded PyTorch state, and normalised images."""
    spec = find(backbone)
    network = spec.make(dtype=dtype, param_dtype=dtype)
    x = (images(4, 96, 48) - np.array(spec.mean)) / np.array(spec.std)
    init = jax.eval_shape(partial(network.init, train=False), jax.random.key(0), x)
    random = unflatten_dict(
        {(k[0], "backbone", *k[1:]): v for k, v in flatten_dict(init).items()}
    )
    state = {}
    for path, leaf in flatten_dict(init).items():
        name = source_name(backbone, path[1:])
        state[name] = array(name, source_shape(name, leaf.shape))
    variables, _ = take_backbone(backbone, random, state, "seed")
    return network, {k: v["backbone"] for k, v in variables.items()}, x.astype(dtype)


# float32 is as far from float64 in PyTorch: 54 normalised layers magnify rounding.
@pytest.mark.parametrize(("dtype", "atol"), [("float32", 1e-4), ("float64", 1e-6)])
@pytest.mark.parametrize("backbone", TORCH_BACKBONES)
def test_backbones_equal_pytorch_on_the_same_weights(backbone, dtype, atol):
    goldens = np.load(HERE / "goldens" / "backbones.npz")
    with jax.enable_x64(dtype == "float64"):
        network, variables, x = seeded_backbone(backbone, dtype)

        @jax.jit
        def both(variables, x):
            train = partial(network.apply, train=True, mutable=["batch_stats"])
            return network.apply(variables, x, train=False), train(variables, x)

        evaluated, (trained, new) = jax.device_get(both(variables, x))
    for mode, y in (("eval", evaluated), ("train", trained)):
        wanted = goldens[f"{backbone}/{mode}/map"]
        scale = np.abs(wanted).max()
        assert y.dtype == dtype
        np.testing.assert_allclose(y[..., ::256], wanted, rtol=0, atol=atol * scale)
        pooled = goldens[f"{backbone}/{mode}/pooled"]
        np.testing.assert_allclose(y.mean((1, 2)), pooled, rtol=0, atol=atol * scale)

    # PyTorch's running variance is unbiased, ours is not.
    if backbone == "efficientnet_lite0":
        name, stats = "_bn1", new["batch_stats"]["bn1"]
    else:
        name, stats = "layer4.1.bn2", new["batch_stats"]["layer4_1"]["bn2"]
    mean, unbiased = (
        goldens[f"{backbone}/{name}.running_{k}"] for k in ("mean", "var")
    )
    old = 0.9 * array(f"{name}.running_var", unbiased.shape)
    n = np.prod(trained.shape[:3])
    tolerance = {"rtol": 0, "atol": 10 * atol}
    np.testing.assert_allclose(stats["mean"], mean, **tolerance)
    biased = old + (unbiased - old) * (n - 1) / n
    np.testing.assert_allclose(stats["var"], biased, **tolerance)


def test_the_last_stage_and_the_normalisation_are_in_the_network():
    network = tiny()
    variables, x = start(network)
    spec = find("resnet_micro")
    backbone = spec.make()
    inner = {k: v["backbone"] for k, v in variables.items()}
    normal = (x - np.array(spec.mean, np.float32)) / np.array(spec.std, np.float32)
    pooled = backbone.apply(inner, normal, train=False).mean((1, 2))
    wanted = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    features, _ = forward(network, variables, x)
    np.testing.assert_allclose(features.global_features, wanted, atol=1e-5)


def test_bfloat16_is_the_backbone_s_alone():
    network = tiny(dtype=jnp.bfloat16)
    variables, x = start(network)
    assert {a.dtype for a in jax.tree.leaves(variables)} == {np.dtype(np.float32)}
    features, stats = forward(network, variables, x, True)
    assert features.global_features.dtype == features.patches.dtype == jnp.float32
    assert {a.dtype for a in jax.tree.leaves(stats)} == {np.dtype(np.float32)}
    wide, _ = forward(tiny(), variables, x, True)
    cosine = jnp.sum(features.global_features * wide.global_features, axis=-1)
    assert float(cosine.min()) > 0.999
    assert not np.array_equal(features.global_features, wide.global_features)


def test_float64_is_never_narrowed():
    with jax.enable_x64(True):
        network = tiny(dtype=jnp.float64)
        variables, x = start(network)
        features, stats = forward(network, variables, x, True)
        assert {a.dtype for a in features} == {np.dtype(np.float64)}
        assert jax.eval_shape(lambda: stats) == jax.eval_shape(
            lambda: variables["batch_stats"]
        )
        np.testing.assert_allclose(
            jnp.linalg.norm(features.patches, axis=-1), 1, atol=1e-14
        )


def trained_once(network, variables, x, weights):
    """Features, new statistics and gradients of one batch."""

    def loss(params):
        features, new = network.apply(
            {"params": params, "batch_stats": variables["batch_stats"]},
            x,
            train=True,
            mutable=["batch_stats"],
        )
        value = jnp.sum(features.global_features * weights)
        return value + jnp.sum(features.patches[..., 0]), (features, new)

    gradient, (features, new) = jax.grad(loss, has_aux=True)(variables["params"])
    return features, new, gradient


def test_batch_norm_is_over_the_global_batch():
    """On 2 and 8 devices, everything is as on one."""
    with jax.enable_x64(True):
        options = {"dtype": jnp.float64, "neck": True, "num_patches": 2}
        variables, x = start(tiny(**options), batch=8, height=32, width=16)
        weights = np.random.default_rng(0).normal(size=(8, 16))
        one = jax.jit(partial(trained_once, tiny(**options)))(variables, x, weights)

        def mapped(variables, x, weights):
            network = tiny(**options, axis_name="data")
            features, new, gradient = trained_once(network, variables, x, weights)
            return features, new, jax.lax.psum(gradient, "data")

        rows, everywhere = PartitionSpec("data"), PartitionSpec()
        features_spec = type(one[0])(rows, PartitionSpec(None, "data"))
        for devices in (2, 8):
            mesh = jax.make_mesh((devices,), ("data",), axis_types=(AxisType.Auto,))
            run = jax.shard_map(
                mapped,
                mesh=mesh,
                in_specs=(everywhere, rows, rows),
                out_specs=(features_spec, everywhere, everywhere),
                check_vma=False,
            )
            many = jax.jit(run)(variables, x, weights)
            close = partial(np.testing.assert_allclose, atol=1e-9, rtol=1e-9)
            jax.tree.map(close, jax.device_get(many), jax.device_get(one))


def test_evaluation_of_an_image_does_not_depend_on_its_batch():
    network = tiny()
    variables, x = start(network)
    whole, _ = forward(network, variables, x)
    alone, _ = forward(network, variables, x[2:3])
    np.testing.assert_allclose(
        alone.global_features, whole.global_features[2:3], atol=1e-6
    )


def test_bn_momentum_zero_takes_the_last_batch_alone():
    network = tiny(bn_momentum=0.0)
    variables, x = start(network)
    _, once = forward(network, variables, x, True)
    again = {"params": variables["params"], "batch_stats": once}
    _, twice = forward(network, again, x, True)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), twice, once)


def test_heads_may_train_on_a_backbone_in_evaluation_mode():
    network = tiny(neck=True)
    variables, x = start(network)

    @jax.jit
    def heads_only(variables, x):
        apply = partial(network.apply, train=False, train_heads=True)
        return apply(variables, x, mutable=["batch_stats"])

    features, new = heads_only(variables, x)
    evaluated, old = forward(network, variables, x)
    jax.tree.map(
        np.testing.assert_array_equal, new["batch_stats"]["backbone"], old["backbone"]
    )
    for part in ("neck", "patch_heads"):
        assert not np.array_equal(
            jax.tree.leaves(new["batch_stats"][part])[0], jax.tree.leaves(old[part])[0]
        )
    assert not np.allclose(features.patches, evaluated.patches, atol=1e-3)


def test_only_patchnet_is_frozen():
    network = tiny(patch_generator="affine", neck=True)
    variables, _ = start(network)
    frozen = shapes_of_flags(frozen_parameters(variables["params"]))
    assert set(frozen) == set(shapes(variables["params"]))
    assert {name.split("/")[0] for name, flag in frozen.items() if flag} == {"patchnet"}
    assert all(flag for name, flag in frozen.items() if name.startswith("patchnet/"))


def shapes_of_flags(tree):
    return {"/".join(path): flag for path, flag in flatten_dict(tree).items()}


def test_bad_arguments_name_the_mend():
    with pytest.raises(InputError, match=r"'resnet5'.*did you mean 'resnet50'"):
        build("resnet5")
    with pytest.raises(InputError, match="'vgg' is not known: Known are resnet50"):
        global_dim("vgg")
    with pytest.raises(InputError, match="patch_generator='affin' is not known"):
        build("resnet50", patch_generator="affin")
    with pytest.raises(InputError, match="num_patches=0"):
        build("resnet50", num_patches=0)
    with pytest.raises(InputError, match="patch_dim=-1"):
        build("resnet50", patch_dim=-1)
    with pytest.raises(InputError, match="at least 1"):
        feature_map_size("resnet50", 0, 128)
    check_num_patches("resnet50", 384, 128, 6)
    rows = r"num_patches=5 .* 24 rows: take one of 1, 2, 3, 4, 6, 8, 12, 24"
    with pytest.raises(InputError, match=rows):
        check_num_patches("resnet50", 384, 128, 5)
    for generator in ("stripes", "affine"):
        network = tiny(num_patches=3, patch_generator=generator)
        with pytest.raises(InputError, match=r"8 rows: take one of 1, 2, 4, 8"):
            start(network)
