"""SGD by hand: momentum, decay in the gradient, the drop, groups, frozen parts."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fgu_jax.config import Config
from fgu_jax.training.optimizer import make_optimizer, rate_schedule


def _run(optimizer, params, gradients):
    state = optimizer.init(params)
    for gradient in gradients:
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params


def test_it_is_sgd_with_l2_in_the_gradient():
    params = {
        "backbone": {"w": jnp.array([1.0, -2.0])},
        "patch_heads": {"w": jnp.array([3.0])},
        "patchnet": {"w": jnp.array([5.0])},
    }
    config = Config(
        learning_rate=0.1,
        head_learning_rate=0.5,
        lr_drop_epoch=1,
        lr_drop_factor=0.1,
        momentum=0.9,
        weight_decay=0.01,
        train_patch_generator=False,
    )
    optimizer = make_optimizer(config, {"params": params}, steps_per_epoch=2)
    rng = np.random.default_rng(0)
    gradients = [
        jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape)), params)
        for _ in range(4)
    ]
    got = _run(optimizer, params, gradients)
    for part, rate in (("backbone", 0.1), ("patch_heads", 0.5)):
        w, velocity = np.array(params[part]["w"], float), 0.0
        for step, gradient in enumerate(gradients):
            velocity = 0.9 * velocity + gradient[part]["w"] + 0.01 * w
            w = w - rate * (0.1 if step >= 2 else 1.0) * velocity
        np.testing.assert_allclose(got[part]["w"], w, rtol=1e-5)
    np.testing.assert_array_equal(got["patchnet"]["w"], params["patchnet"]["w"])


def test_the_rate_drops_at_its_step():
    schedule = rate_schedule(Config(lr_drop_epoch=10), 10, 1e-4)
    assert float(schedule(99)) == np.float32(1e-4)
    np.testing.assert_allclose(schedule(100), 1e-5, rtol=1e-6)
    np.testing.assert_allclose(
        rate_schedule(Config(lr_drop_epoch=None), 10, 1e-4)(10**6), 1e-4, rtol=1e-6
    )
