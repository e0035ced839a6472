"""Targets refined by agreement (PPLR): against a slow reading of the paper."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from fgu_jax.clustering import agreement
from fgu_jax.errors import InputError
from fgu_jax.losses import refined_losses, repelled_loss

B, C, U, D, ROWS = 5, 4, 3, 6, 7
TAU = 0.3


def _unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def _drawn():
    rng = np.random.default_rng(0)
    shapes = {"v": (B, D), "x": (U, B, D), "V": (ROWS, D), "W": (U, ROWS, D)}
    drawn = {name: _unit(rng.normal(size=shape)) for name, shape in shapes.items()}
    return drawn, np.array([0, 1, 3, 3, 2]), rng.uniform(size=(U, B))


def _softmax(x):
    e = [np.exp(value) for value in x]
    return [value / sum(e) for value in e]


def _slow(drawn, labels, a, *, beta, smooth):
    """Cho et al. 2022, eqs (5) to (8), an example and a patch after the other."""
    repelled, patches = [], [[] for _ in range(U)]
    for i, y in enumerate(labels):
        q = _softmax([drawn["V"][j] @ drawn["v"][i] / TAU for j in range(C)])
        parts = [
            _softmax([drawn["W"][u, j] @ drawn["x"][u, i] / TAU for j in range(C)])
            for u in range(U)
        ]
        w = _softmax(a[:, i])
        target = [
            beta * (j == y) + (1 - beta) * sum(w[u] * parts[u][j] for u in range(U))
            for j in range(C)
        ]
        repelled.append(-sum(t * np.log(p) for t, p in zip(target, q, strict=True)))
        for u in range(U):
            alpha = 1 - smooth * (1 - a[u, i])
            divergence = sum(1 / C * np.log(1 / C / p) for p in parts[u])
            own = -np.log(parts[u][y])
            patches[u].append(alpha * own + (1 - alpha) * divergence)
    return repelled, patches


def _losses(drawn, labels, a, **how):
    return refined_losses(
        *(jnp.asarray(drawn[name]) for name in ("v", "x", "V", "W")),
        jnp.asarray(labels),
        jnp.asarray(a),
        temperature=TAU,
        num_clusters=C,
        **how,
    )


@pytest.mark.parametrize(("refine", "smooth"), [(0.5, 1.0), (0.3, 0.0), (1.0, 0.4)])
def test_losses_are_the_slow_loop(refine, smooth):
    drawn, labels, a = _drawn()
    with jax.enable_x64(True):
        found = _losses(drawn, labels, a, refine=refine, smooth=smooth)
    wanted = _slow(drawn, labels, a, beta=1 - refine, smooth=smooth)
    np.testing.assert_allclose(found.repelled, wanted[0], rtol=1e-9)
    np.testing.assert_allclose(found.patches, wanted[1], rtol=1e-9)


def test_without_either_they_are_the_repelled_loss():
    drawn, labels, a = _drawn()
    found = _losses(drawn, labels, a, refine=0.0, smooth=0.0)
    how = {"temperature": TAU, "num_clusters": C}
    np.testing.assert_allclose(
        found.repelled,
        repelled_loss(jnp.asarray(drawn["v"]), jnp.asarray(drawn["V"]), labels, **how),
        rtol=1e-5,
    )
    for u in range(U):
        x, table = jnp.asarray(drawn["x"][u]), jnp.asarray(drawn["W"][u])
        wanted = repelled_loss(x, table, labels, **how)
        np.testing.assert_allclose(found.patches[u], wanted, rtol=1e-5)


def test_gradients_and_what_is_constant():
    drawn, labels, a = _drawn()
    with jax.enable_x64(True):

        def total(v, x, **rest):
            found = _losses(
                drawn | {"v": v, "x": x} | rest, labels, a, refine=0.5, smooth=1.0
            )
            return found.repelled.sum(), found.patches.sum()

        of_v = jax.jit(lambda v: total(v, drawn["x"])[0])
        check_grads(of_v, (jnp.asarray(drawn["v"]),), 1)
        of_x = jax.jit(lambda x: total(drawn["v"], x)[1])
        check_grads(of_x, (jnp.asarray(drawn["x"]),), 1)
        # Predictions of patches in the target of v, and tables, are constants.
        constants = {
            "x": lambda x: total(drawn["v"], x)[0],
            "V": lambda table: sum(total(drawn["v"], drawn["x"], V=table)),
            "W": lambda table: sum(total(drawn["v"], drawn["x"], W=table)),
        }
        for name, of in constants.items():
            assert not np.any(jax.jit(jax.grad(of))(jnp.asarray(drawn[name])))


def test_dead_rows_do_not_count_even_when_garbage():
    drawn, labels, a = _drawn()
    alive = np.arange(ROWS)[:, None] < C
    garbage = {name: np.where(alive, drawn[name], np.nan) for name in ("V", "W")}
    clean = _losses(drawn, labels, a, refine=0.5, smooth=1.0)
    found = _losses(drawn | garbage, labels, a, refine=0.5, smooth=1.0)
    jax.tree.map(np.testing.assert_array_equal, found, clean)


def test_bad_arguments():
    drawn, labels, a = _drawn()
    with pytest.raises(InputError, match="temperature"):
        refined_losses(*drawn.values(), labels, a, temperature=0.0)


def test_agreement_is_the_slow_loop():
    rng = np.random.default_rng(1)
    one, other = (_unit(rng.normal(size=(30, 5))).astype("f4") for _ in range(2))
    other[:15] = one[:15]
    wanted = []
    for i in range(30):
        near = []
        for x in (one, other):
            order = np.argsort(np.square(x - x[i]).sum(axis=1), kind="stable")
            near.append(set(order[order != i][:6]))
        wanted.append(len(near[0] & near[1]) / len(near[0] | near[1]))
    found = agreement(one, other, 6)
    assert found.dtype == np.float32
    assert len(set(wanted)) > 3
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    np.testing.assert_array_equal(agreement(one[:2], one[:2]), [1, 1])
