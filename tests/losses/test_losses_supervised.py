"""The losses of a start with labels, against slow loops and their own gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from fgu_jax.errors import InputError
from fgu_jax.losses import batch_hard_triplet, identity_loss
from fgu_jax.losses.supervised import identity_logits

B, C, D = 7, 5, 6


def _drawn(seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(B, D))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    classifier = rng.normal(size=(C, D)) * rng.uniform(0.1, 9, size=(C, 1))
    return features, classifier, np.array([0, 0, 1, 1, 2, 2, 4])


def _slow_identity(features, classifier, labels, temperature, smoothing):
    losses = []
    for f, y in zip(features, labels, strict=True):
        logits = [w @ f / np.linalg.norm(w) / temperature for w in classifier]
        total = sum(np.exp(x) for x in logits)
        share = smoothing / len(classifier)
        loss = 0.0
        for j, x in enumerate(logits):
            q = share + (1 - smoothing if j == y else 0)
            loss -= q * np.log(np.exp(x) / total)
        losses.append(loss)
    return losses


def _slow_triplet(features, labels, margin):
    losses = []
    for a, y in zip(features, labels, strict=True):
        apart = [np.linalg.norm(a - b) for b in features]
        own = [d for d, z in zip(apart, labels, strict=True) if z == y]
        others = [d for d, z in zip(apart, labels, strict=True) if z != y]
        losses.append(max(0.0, margin + max(own) - min(others)) if others else 0.0)
    return losses


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_identity_loss_is_the_slow_loop(smoothing, temperature):
    with jax.enable_x64(True):
        features, classifier, labels = _drawn()
        like = {"temperature": temperature, "smoothing": smoothing}
        found = identity_loss(
            jnp.array(features), jnp.array(classifier), jnp.array(labels), **like
        )
    wanted = _slow_identity(features, classifier, labels, temperature, smoothing)
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


def test_identity_loss_by_hand():
    # Two right angles: logits 1 and 0. q is 0.95 and 0.05: log(e + 1) - 0.95.
    rows = jnp.eye(2)
    found = identity_loss(
        rows[:1], 3 * rows, jnp.array([0]), temperature=1.0, smoothing=0.1
    )
    np.testing.assert_allclose(found, [np.log(np.e + 1) - 0.95], rtol=1e-6)


def test_the_length_of_a_classifiers_row_is_nothing():
    features, classifier, _ = map(jnp.array, _drawn())
    long = identity_logits(features, 7 * classifier, temperature=1.0)
    plain = identity_logits(features, classifier, temperature=1.0)
    np.testing.assert_allclose(long, plain, atol=1e-6)
    assert float(jnp.abs(plain).max()) <= 1


@pytest.mark.parametrize("margin", [0.0, 0.3, 2.0])
def test_batch_hard_is_the_slow_loop(margin):
    features, _, labels = _drawn(1)
    with jax.enable_x64(True):
        rows, of = jnp.array(features), jnp.array(labels)
        found = batch_hard_triplet(rows, of, rows, of, margin=margin)
        some = batch_hard_triplet(rows[2:5], of[2:5], rows, of, margin=margin)
    wanted = _slow_triplet(features, labels, margin)
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(some, wanted[2:5], rtol=1e-9, atol=1e-12)


def test_gradients():
    with jax.enable_x64(True):
        features, classifier, labels = map(jnp.array, _drawn(2))

        def identity(f, w):
            return identity_loss(f, w, labels, temperature=0.3).mean()

        def triplet(f):
            return batch_hard_triplet(f, labels, f, labels, margin=2.0).mean()

        check_grads(jax.jit(identity), (features, classifier), order=1, modes=["rev"])
        check_grads(jax.jit(triplet), (features,), order=1, modes=["rev"])


def test_one_image_twice_and_nobody_else_have_a_finite_gradient():
    rows, labels = jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), jnp.array([0, 0, 1])

    def loss(f, of):
        return batch_hard_triplet(f, of, f, of, margin=2.0).sum()

    assert np.isfinite(jax.jit(jax.grad(loss))(rows, labels)).all()
    alone = jnp.zeros(3, jnp.int32)
    assert float(loss(rows, alone)) == 0
    assert np.isfinite(jax.jit(jax.grad(loss))(rows, alone)).all()


def test_bad_arguments():
    features, classifier, labels = map(jnp.array, _drawn())
    for changes, said in (
        ({"smoothing": 1.5}, "smoothing is 1.5: give 0 to 1"),
        ({"temperature": 0.0}, "temperature is 0.0"),
    ):
        with pytest.raises(InputError, match=said):
            identity_loss(features, classifier, labels, **changes)
    with pytest.raises(
        InputError, match=r"lie in 0\.\.5 but the table has rows 0\.\.4"
    ):
        identity_loss(features, classifier, labels.at[0].set(5))
    with pytest.raises(InputError, match="margin is -1: give 0 or more"):
        batch_hard_triplet(features, labels, features, labels, margin=-1)
    with pytest.raises(InputError, match="do not fit"):
        batch_hard_triplet(features, labels[1:], features, labels, margin=1)
    with pytest.raises(InputError, match="rows of one width"):
        batch_hard_triplet(features, labels, classifier[:, 1:], jnp.arange(C), margin=1)
