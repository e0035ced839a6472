"""SGD and Adam by hand: momentum, decay, drops of the rate, groups, frozen parts."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fgu_jax.config import Config, presets
from fgu_jax.errors import InputError
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


def test_adam_is_pytorchs_with_l2_in_the_gradient():
    """Kingma and Ba, ICLR 2015, algorithm 1, with decay as PyTorch adds it."""
    params = {"backbone": {"w": jnp.array([1.0, -2.0])}}
    config = Config(
        optimizer="adam", learning_rate=0.1, lr_drop_epoch=2, weight_decay=0.01
    )
    optimizer = make_optimizer(config, {"params": params}, steps_per_epoch=2)
    rng = np.random.default_rng(0)
    gradients = [
        jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape)), params)
        for _ in range(6)
    ]
    got = _run(optimizer, params, gradients)
    w, m, v = np.array(params["backbone"]["w"], float), 0.0, 0.0
    for step, gradient in enumerate(gradients, 1):
        g = gradient["backbone"]["w"] + 0.01 * w
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        rate = 0.1 * (0.1 if step > 4 else 1.0)
        w = w - rate * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    np.testing.assert_allclose(got["backbone"]["w"], w, rtol=1e-5)


def test_the_rate_warms_up_drops_and_falls_as_a_cosine():
    def at(steps, **changes):
        schedule = rate_schedule(Config(**changes), 10, 2.0)
        return [float(schedule(step)) for step in steps]

    warm = at((0, 10, 20, 99, 100), warmup_epochs=2, lr_drop_epoch=10)
    np.testing.assert_allclose(warm, [0.02, 1.01, 2, 2, 0.2], rtol=1e-6)
    steps = (0, 10, 20, 60, 100, 300)
    cosine = at(steps, warmup_epochs=2, cosine_epoch=10, lr_drop_epoch=None)
    np.testing.assert_allclose(cosine, [0.02, 1.01, 2, 1, 0, 0], atol=1e-6)
    both = at((60,), warmup_epochs=2, cosine_epoch=10, lr_drop_epoch=5)
    np.testing.assert_allclose(both, [0.1], rtol=1e-6)


def test_the_rate_begins_again():
    config = Config(
        warmup_epochs=2, restart_epoch=6, cosine_epoch=10, restart_factor=0.25
    )
    schedule = rate_schedule(config, 10, 2.0)
    found = [float(schedule(step)) for step in (0, 20, 40, 59, 60, 80, 100, 300)]
    just_before = 2 * (1 + np.cos(np.pi * 39 / 40)) / 2
    wanted = [0.02, 2, 1, just_before, 0.5, 0.25, 0, 0]
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_tuned_begins_again_where_what_is_made_by_hand_ends():
    config = presets.resolve({"preset": "tuned"})
    by_hand = [config.compares_handcrafted(epoch) for epoch in range(17)]
    assert by_hand == [True] * 12 + [False] * 5
    schedule = rate_schedule(config, 10, config.learning_rate)
    assert float(schedule(119)) < 1e-3 * config.learning_rate
    np.testing.assert_allclose(schedule(120), config.learning_rate / 2, rtol=1e-6)
    assert config.merges_up_to(config.epochs) == config.last_max_distance
    larger = presets.resolve({"preset": "larger"})
    assert not any(map(larger.compares_handcrafted, range(5)))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"cosine_epoch": 3, "warmup_epochs": 3},
            "cosine_epoch is 3 with warmup_epochs 3: give more",
        ),
        (
            {"cosine_epoch": 9, "restart_epoch": 9},
            "cosine_epoch is 9 with restart_epoch 9: give more",
        ),
        (
            {"cosine_epoch": 9, "restart_epoch": 2, "warmup_epochs": 4},
            "restart_epoch is 2 with warmup_epochs 4: give more",
        ),
    ],
)
def test_parts_of_a_rate_that_end_before_they_begin_are_refused(given, said):
    with pytest.raises(InputError, match=said):
        Config(**given)


def test_a_second_cosine_needs_a_first():
    given = {"preset": "paper", "restart_epoch": 5}
    with pytest.raises(InputError, match="restart_epoch is 5, .* cosine_epoch none: "):
        presets.resolve(given)
