"""The parts of the networks against slow loops: windows, heads, unit rows, filters."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from goldens.seeded import seeded_variables
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax
from jax.test_util import check_grads

from fgu_jax.networks import build
from fgu_jax.networks.convolution import Conv, max_pool
from fgu_jax.networks.efficientnet import DepthwiseConv
from fgu_jax.networks.heads import GeneralizedMean, PatchHeads, stripe_means, unit
from fgu_jax.networks.patchnet import PatchNet, stripe_windows, window_means


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def with_gradients(function):
    """What a function of arrays gives, then its gradients by each."""

    @jax.jit
    def run(arguments, above):
        result, back = jax.vjp(function, *arguments)
        return result, *back(above)

    return run


def bilinear_loop(feature_map, theta):
    """grid_sample (align_corners=False, border) at h/U x w points, then their mean."""
    b, h, w, f = feature_map.shape
    u = theta.shape[1]
    means = np.zeros((u, b, f))
    for i in range(b):
        for k in range(u):
            for row in range(h // u):
                for column in range(w):
                    inner = np.array(
                        [(2 * column + 1) / w - 1, (2 * row + 1) / (h // u) - 1, 1]
                    )
                    x, y = theta[i, k] @ inner
                    x = min(max(((x + 1) * w - 1) / 2, 0), w - 1)
                    y = min(max(((y + 1) * h - 1) / 2, 0), h - 1)
                    for yy in range(h):
                        for xx in range(w):
                            share = max(1 - abs(x - xx), 0) * max(1 - abs(y - yy), 0)
                            means[k, i] += share * feature_map[i, yy, xx]
    return means / (h // u * w)


def test_stripes_against_a_loop_and_by_hand():
    x = normal(2, 6, 3, 5)
    wanted = np.stack([x[:, 2 * u : 2 * u + 2].mean((1, 2)) for u in range(3)])
    with jax.enable_x64(True):
        np.testing.assert_allclose(stripe_means(jnp.array(x), 3), wanted, atol=1e-12)
    by_hand = stripe_means(jnp.array([[[[1.0]], [[3.0]], [[10.0]], [[20.0]]]]), 2)
    assert by_hand.tolist() == [[[2.0]], [[15.0]]]


def test_windows_against_a_bilinear_loop():
    x = normal(2, 6, 3, 4)
    theta = stripe_windows(2)[None] + 0.4 * normal(2, 2, 2, 3, seed=1)
    with jax.enable_x64(True):
        means = window_means(jnp.array(x), jnp.array(theta))
    np.testing.assert_allclose(means, bilinear_loop(x, theta), atol=1e-12)


@given(st.sampled_from([(24, 8, 6), (16, 8, 4), (8, 4, 8), (12, 3, 1)]))
@settings(max_examples=4, deadline=None)
def test_windows_that_are_stripes_equal_stripes(size):
    h, w, u = size
    x = jnp.asarray(normal(2, h, w, 3), jnp.float32)
    theta = jnp.broadcast_to(stripe_windows(u), (2, u, 2, 3))
    windows = jax.jit(window_means)(x, theta)
    np.testing.assert_allclose(windows, stripe_means(x, u), atol=1e-6)


def test_gradients_of_windows_and_unit_rows():
    with jax.enable_x64(True):
        x = jnp.array(normal(1, 4, 3, 2))
        # Away from pixel centres, where the bilinear kernel has its corners.
        theta = jnp.array(stripe_windows(2)[None] * 0.83 + 0.031, jnp.float64)
        check_grads(jax.jit(window_means), (x, theta), order=1, modes=["rev"])
        check_grads(jax.jit(unit), (jnp.array(normal(3, 4)),), order=2, modes=["rev"])


def test_unit_at_zero_is_zero_with_a_zero_gradient():
    x = jnp.array([[0.0, 0.0], [3.0, 4.0]])
    np.testing.assert_allclose(unit(x), [[0, 0], [0.6, 0.8]], atol=1e-6)
    gradient = jax.grad(lambda x: unit(x).sum())(x)
    assert gradient[0].tolist() == [0.0, 0.0]
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(jax.vmap(unit)(x), unit(x))


@functools.cache
def affine_and_stripes(train):
    x = jnp.asarray(np.random.default_rng(0).uniform(size=(4, 64, 32, 3)), jnp.float32)
    affine = build("resnet_micro", num_patches=4, patch_dim=8, patch_generator="affine")
    stripes = build("resnet_micro", num_patches=4, patch_dim=8)
    variables = seeded_variables(affine, x)
    patchnet = PatchNet(4, jnp.float32)
    first = patchnet.init(jax.random.key(0), jnp.zeros((4, 8, 4, 16)))
    variables["params"]["patchnet"] = first["params"]
    params = {k: v for k, v in variables["params"].items() if k != "patchnet"}
    wanted, found = (
        jax.jit(functools.partial(network.apply, train=train, mutable=["batch_stats"]))(
            of_network, x
        )[0]
        for network, of_network in (
            (stripes, variables | {"params": params}),
            (affine, variables),
        )
    )
    return variables, affine, x, found, wanted


@pytest.mark.parametrize("train", [False, True])
def test_affine_starts_exactly_at_the_stripes(train):
    *_, found, wanted = affine_and_stripes(train)
    np.testing.assert_allclose(found.patches, wanted.patches, atol=1e-5)
    np.testing.assert_array_equal(found.global_features, wanted.global_features)


def test_affine_windows_can_be_learnt_and_move():
    variables, network, x, *_ = affine_and_stripes(True)

    def loss(params):
        features, _ = network.apply(
            variables | {"params": params}, x, train=True, mutable=["batch_stats"]
        )
        return features.patches[..., 0].sum()

    gradient = jax.jit(jax.grad(loss))(variables["params"])["patchnet"]
    assert float(jnp.abs(gradient["theta"]["kernel"]).max()) > 0
    params = jax.tree.map(lambda a: a, variables["params"])
    params["patchnet"]["theta"]["bias"] += 0.3
    run = jax.jit(functools.partial(network.apply, train=False))
    moved, still = run(variables | {"params": params}, x), run(variables, x)
    assert float(jnp.abs(moved.patches - still.patches).max()) > 1e-3


def test_stacked_heads_are_separate_heads():
    """Against a loop of U linear layers, each with its own batch normalisation."""
    with jax.enable_x64(True):
        options = {"num_patches": 4, "patch_dim": 8, "dtype": jnp.float64}
        network = build("resnet_micro", **options)
        x = np.random.default_rng(0).uniform(size=(4, 64, 32, 3))
        variables = seeded_variables(network, x)
        heads = variables["params"]["patch_heads"]
        run = functools.partial(
            network.apply,
            train=True,
            mutable=["batch_stats", "intermediates"],
            capture_intermediates=True,
        )
        found, kept = jax.jit(run)(variables, x)
        feature_map = np.asarray(kept["intermediates"]["backbone"]["__call__"][0])
        stats = kept["batch_stats"]["patch_heads"]["bn"]
        old = variables["batch_stats"]["patch_heads"]["bn"]
    for u in range(4):
        pooled = feature_map[:, 2 * u : 2 * u + 2].mean((1, 2))
        y = pooled @ np.asarray(heads["kernel"][u])
        mean, var = y.mean(0), y.var(0)
        new_mean = 0.9 * np.asarray(old["mean"][u]) + 0.1 * mean
        new_var = 0.9 * np.asarray(old["var"][u]) + 0.1 * var
        np.testing.assert_allclose(stats["mean"][u], new_mean, atol=1e-10)
        np.testing.assert_allclose(stats["var"][u], new_var, atol=1e-10)
        y = (y - mean) / np.sqrt(var + 1e-5)
        y = y * np.asarray(heads["bn"]["scale"][u]) + np.asarray(heads["bn"]["bias"][u])
        y /= np.linalg.norm(y, axis=1, keepdims=True)
        np.testing.assert_allclose(found.patches[u], y, atol=1e-9)


def test_heads_differ_and_have_kaiming_s_spread():
    heads = PatchHeads(64, jnp.float32, lambda **_: lambda x: x)
    kernel = heads.init(jax.random.key(0), jnp.zeros((4, 1, 256)))["params"]["kernel"]
    assert kernel.shape == (4, 256, 64)
    np.testing.assert_allclose(kernel.std((1, 2)), np.sqrt(2 / 256), rtol=0.03)
    assert float(jnp.abs(kernel[0] - kernel[1]).max()) > 0.01


@pytest.mark.parametrize(("k", "strides"), [(1, 1), (1, 2), (3, 1), (3, 2), (7, 2)])
@pytest.mark.parametrize("size", [(8, 6), (7, 5)])
def test_convolution_against_a_loop(k, strides, size):
    x, kernel = normal(2, *size, 3), normal(k, k, 3, 4, seed=1)
    p = k // 2
    padded = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
    h, w = ((n + 2 * p - k) // strides + 1 for n in size)
    wanted = np.zeros((2, h, w, 4))
    for i in range(h):
        for j in range(w):
            a, b = i * strides, j * strides
            wanted[:, i, j] = np.tensordot(padded[:, a : a + k, b : b + k], kernel, 3)
    with jax.enable_x64(True):
        conv = Conv(4, k, strides, dtype=jnp.float64, param_dtype=jnp.float64)
        found = conv.apply({"params": {"kernel": jnp.array(kernel)}}, jnp.array(x))
    np.testing.assert_allclose(found, wanted, atol=1e-12)


@pytest.mark.parametrize(("k", "strides"), [(3, 1), (3, 2), (5, 1), (5, 2)])
@pytest.mark.parametrize("size", [(8, 6), (7, 5), (1, 2)])
def test_depthwise_shifts_equal_the_grouped_convolution(k, strides, size):
    with jax.enable_x64(True):
        x, kernel = jnp.array(normal(2, *size, 3)), jnp.array(normal(k, k, 3, seed=1))

        def shifted(x, kernel):
            layer = DepthwiseConv(k, strides, jnp.float64, jnp.float64)
            return layer.apply({"params": {"kernel": kernel}}, x)

        def grouped(x, kernel):
            return lax.conv_general_dilated(
                x,
                kernel[:, :, None],
                (strides, strides),
                "SAME",
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
                feature_group_count=3,
            )

        above = jnp.cos(jax.jit(grouped)(x, kernel))
        found, wanted = (
            with_gradients(f)((x, kernel), above) for f in (shifted, grouped)
        )
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-11)


def test_max_pool_pads_with_nothing():
    x = -jnp.arange(1.0, 17).reshape(1, 4, 4, 1)
    assert max_pool(x)[0, :, :, 0].tolist() == [[-1, -2], [-5, -6]]


@pytest.mark.parametrize("size", [(6, 4), (5, 7), (1, 1), (2, 3)])
def test_max_pool_and_its_gradient_are_flax_s_ties_included(size):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.integers(-2, 3, (2, *size, 3)), jnp.float32)  # many ties

    def flax(x):
        return nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))

    shape = jax.eval_shape(flax, x).shape
    above = jnp.asarray(rng.integers(1, 9, shape), jnp.float32)
    got, expected = (with_gradients(f)((x,), above) for f in (max_pool, flax))
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_max_pool_keeps_nan():
    x = jnp.zeros((1, 6, 6, 1)).at[0, 2, 3, 0].set(jnp.nan)
    expected = [[False] * 3, [False, True, True], [False] * 3]
    assert np.isnan(max_pool(x)[0, :, :, 0]).tolist() == expected


@pytest.mark.parametrize("p", [1.0, 3.0, 6.5])
def test_generalized_mean_equals_the_loop(p):
    """Radenovic et al. 2018, eq (3), with the published epsilon."""
    x = normal(2, 3, 4, 5)
    with jax.enable_x64(True):
        head = GeneralizedMean(jnp.float64)
        first = head.init(jax.random.key(0), jnp.asarray(x))["params"]["p"]
        assert first.tolist() == [3.0]
        variables = {"params": {"p": jnp.array([p])}}
        got = head.apply(variables, jnp.asarray(x))
        check_grads(
            jax.jit(lambda p: head.apply({"params": {"p": p}}, jnp.asarray(x))),
            (jnp.array([p]),),
            order=1,
            modes=["rev"],
        )
    for b in range(2):
        for f in range(5):
            powers = [max(value, 1e-6) ** p for value in x[b, :, :, f].ravel()]
            np.testing.assert_allclose(got[b, f], np.mean(powers) ** (1 / p), rtol=1e-9)


def test_the_pooling_is_the_networks():
    images = jnp.asarray(normal(2, 32, 16, 3) ** 2)
    network = build("resnet_micro", num_patches=2, patch_dim=8, pooling="gem")
    variables = seeded_variables(network, images)
    assert variables["params"]["gem"]["p"].shape == (1,)
    means = {"params": {k: v for k, v in variables["params"].items() if k != "gem"}}
    means["batch_stats"] = variables["batch_stats"]
    plain = build("resnet_micro", num_patches=2, patch_dim=8)
    run = functools.partial(jax.jit, static_argnames="train")
    before = run(plain.apply)(means, images, train=False)
    near_one = variables["params"] | {"gem": {"p": jnp.array([1.0])}}
    variables = dict(variables) | {"params": near_one}
    after = run(network.apply)(variables, images, train=False)
    np.testing.assert_allclose(after[0], before[0], atol=1e-4)
    np.testing.assert_array_equal(after[1], before[1])
