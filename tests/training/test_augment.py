"""Augmentation: a function of (seed, epoch, row), within range, and off where off."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fgu_jax.training import augment


def augmented(keys, images, **options):
    return jax.jit(functools.partial(augment.augment, **options))(keys, images)


def _images(count=6, height=24, width=12):
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.uniform(size=(count, height, width, 3)), jnp.float32)


def _keys(rows, epoch=3, seed=0):
    return augment.image_keys(
        jax.random.key(seed), jnp.asarray(epoch), jnp.asarray(rows)
    )


EVERYTHING = {"color_jitter": 0.5, "erasing": 1.0}


def test_an_image_is_changed_alike_wherever_it_stands_in_a_batch():
    images = _images()
    whole = augmented(_keys(np.arange(6)), images, **EVERYTHING)
    rows = np.array([4, 1])
    part = augmented(_keys(rows), images[rows], **EVERYTHING)
    np.testing.assert_allclose(part, whole[rows], atol=1e-6)


@pytest.mark.parametrize("other", [{"epoch": 4}, {"seed": 1}])
def test_another_epoch_or_seed_changes_it_otherwise(other):
    images = _images()
    rows = np.arange(6)
    a = augmented(_keys(rows), images)
    b = augmented(_keys(rows, **other), images)
    assert np.abs(a - b).max(axis=(1, 2, 3)).min() > 0.01


def test_nothing_asked_changes_nothing():
    images = _images()
    got = augmented(_keys(np.arange(6)), images, crop=False, flip=False)
    np.testing.assert_array_equal(got, images)


def test_flip_mirrors_about_half_of_the_images():
    images = jnp.tile(_images(1), (200, 1, 1, 1))
    got = augmented(_keys(np.arange(200)), images, crop=False)
    mirrored = np.array(jnp.all(got == images[:, :, ::-1], axis=(1, 2, 3)))
    same = np.array(jnp.all(got == images, axis=(1, 2, 3)))
    assert (mirrored ^ same).all()
    assert 60 < mirrored.sum() < 140


def _crop_numbers(area, aspect, top=0.0, left=0.0):
    numbers = np.full(22, 0.0)
    numbers[:10] = (area - 0.64) / 0.36
    numbers[10:20] = aspect - 2
    numbers[20:] = top, left
    return jnp.asarray(numbers, jnp.float32)


def test_a_crop_of_everything_is_the_image():
    image = _images(1)[0]
    got = augment.random_crop(_crop_numbers(1.0, 2.0), image)
    np.testing.assert_allclose(got, image, atol=1e-5)


def test_a_crop_is_the_window_resized():
    # Area 0.64 at aspect 2 is 80% of each side; at the bottom right of a ramp.
    height, width = 40, 20
    y, x = np.mgrid[:height, :width] + 0.5
    ramp = jnp.asarray(np.stack([y / height, x / width, 0 * x], axis=-1), jnp.float32)
    got = augment.random_crop(_crop_numbers(0.64, 2.0, top=1.0, left=1.0), ramp)
    inner = (slice(1, -1), slice(1, -1))
    np.testing.assert_allclose(
        got[..., 0][inner], (0.2 + 0.8 * y / height)[inner], atol=1e-3
    )
    np.testing.assert_allclose(
        got[..., 1][inner], (0.2 + 0.8 * x / width)[inner], atol=1e-3
    )


def test_draws_that_do_not_fit_leave_the_whole_image():
    image = _images(1)[0]
    got = augment.random_crop(_crop_numbers(1.0, 3.0), image)  # higher than the image
    np.testing.assert_allclose(got, image, atol=1e-5)


def test_jitter_of_middling_numbers_is_no_change_and_stays_in_range():
    image = _images(1)[0]
    same = augment.random_jitter(jnp.full(6, 0.5), image, strength=0.8)
    np.testing.assert_allclose(same, image, atol=1e-6)
    bright = augment.random_jitter(jnp.ones(6), image, strength=0.8)
    assert 0 <= bright.min() <= bright.max() <= 1
    assert bright.mean() > image.mean()


def test_erasing_fills_one_rectangle_with_the_mean():
    image = _images(1)[0]
    got = augment.random_erasing(
        jnp.array([0.5, 0.5, 0.5, 0.5, 0.0]), image, chance=1.0
    )
    changed = np.array(jnp.any(got != image, axis=-1))
    share = changed.mean()
    assert 0.1 < share < 0.3  # 21% asked for, on whole pixels
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    assert changed[np.ix_(rows, columns)].all()
    mean = np.array(image.mean(axis=(0, 1)))
    np.testing.assert_allclose(got[rows[0], columns[0]], mean, atol=1e-6)
    kept = augment.random_erasing(
        jnp.array([0.5, 0.5, 0.5, 0.5, 0.9]), image, chance=0.5
    )
    np.testing.assert_array_equal(kept, image)


def test_a_shifted_image_is_cut_from_a_black_frame():
    image = np.asarray(_images(1)[0])
    framed = np.pad(image, ((3, 3), (3, 3), (0, 0)))
    seen = set()
    for y, x in np.random.default_rng(0).uniform(size=(200, 2)):
        got = augment.random_shift(jnp.array([y, x]), jnp.asarray(image), most=3)
        top, left = int(y * 7), int(x * 7)
        np.testing.assert_array_equal(got, framed[top : top + 24, left : left + 12])
        seen.add((top, left))
    assert len(seen) > 40  # of 7 x 7 places
    still = augment.random_shift(jnp.array([0.5, 0.5]), jnp.asarray(image), most=0)
    np.testing.assert_array_equal(still, image)


def test_a_shift_goes_in_place_of_a_crop_and_moves_nothing_else():
    images, keys = _images(), _keys(np.arange(6))
    plain = augmented(keys, images, crop=False, flip=False)
    np.testing.assert_array_equal(plain, images)
    moved = augmented(keys, images, crop=False, flip=False, pad=2)
    assert (np.asarray(moved) != np.asarray(images)).any(axis=(1, 2, 3)).sum() > 3
