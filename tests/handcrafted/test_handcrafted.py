"""LOMO and bags of words against slow loops, hand counts and what they promise."""

import colorsys
import dataclasses

import numpy as np
import pytest

from fgu_jax.errors import InputError
from fgu_jax.handcrafted import learn_bag_of_words, lomo, lomo_dim
from fgu_jax.handcrafted.bag_of_words import describe_patches
from fgu_jax.handcrafted.color_terms import TERMS, color_terms
from fgu_jax.handcrafted.lomo import _hsv_bins
from fgu_jax.handcrafted.occurrence import maximal_occurrence
from fgu_jax.handcrafted.retinex import retinex
from fgu_jax.handcrafted.siltp import siltp


def _pictures(count, height, width, seed=0):
    """Random but smooth: blocks of colour with some noise."""
    draw = np.random.default_rng(seed)
    coarse = draw.integers(0, 256, (count, -(-height // 8), -(-width // 8), 3))
    fine = coarse.repeat(8, axis=1).repeat(8, axis=2)[:, :height, :width]
    return np.clip(fine + draw.normal(0, 6, fine.shape), 0, 255).astype(np.uint8)


# --- SILTP ---------------------------------------------------------------------------


@pytest.mark.parametrize("radius", [1, 3, 5])
def test_siltp_against_a_slow_loop(radius):
    grey = np.random.default_rng(radius).uniform(0, 255, (2, 9, 7))
    expected = np.zeros(grey.shape, int)
    for n, row, column in np.ndindex(grey.shape):
        centre = grey[n, row, column]
        places = [
            (row, column + radius),
            (row - radius, column),
            (row, column - radius),
            (row + radius, column),
        ]
        for k, (r, c) in enumerate(places):
            other = grey[n, min(max(r, 0), 8), min(max(c, 0), 6)]
            digit = 1 if other > 1.3 * centre else 2 if other < 0.7 * centre else 0
            expected[n, row, column] += digit * 3**k
    np.testing.assert_array_equal(siltp(grey, radius=radius), expected)
    # A brightness that multiplies the picture changes nothing.
    np.testing.assert_array_equal(siltp(4 * grey, radius=radius), expected)


def test_siltp_refuses():
    with pytest.raises(InputError, match=r"\[N, H, W\]"):
        siltp(np.ones((3, 3)), radius=1)
    with pytest.raises(InputError, match="radius=0"):
        siltp(np.ones((1, 3, 3)), radius=0)
    with pytest.raises(InputError, match=r"tau=1\.5"):
        siltp(np.ones((1, 3, 3)), radius=1, tau=1.5)


# --- windows -------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(10, 10), (27, 19), (20, 33)])
def test_windows_against_a_slow_loop(shape):
    patterns = np.random.default_rng(0).integers(0, 6, (2, *shape))
    found = maximal_occurrence(patterns, 6)
    rows = range(0, shape[0] - 9, 5)
    assert found.shape == (2, len(rows), 6)
    for n in range(2):
        for place, top in enumerate(rows):
            windows = [
                np.bincount(patterns[n, top : top + 10, x : x + 10].ravel(), None, 6)
                for x in range(0, shape[1] - 9, 5)
            ]
            np.testing.assert_array_equal(found[n, place], np.max(windows, axis=0))


def test_the_maximum_is_over_one_row_of_windows():
    patterns = np.zeros((1, 15, 20), int)
    patterns[0, :2, 12:14] = 1  # four pixels, in the upper windows only
    found = maximal_occurrence(patterns, 2)
    assert found.tolist() == [[[100, 4], [100, 0]]]


def test_windows_refuse_small_pictures():
    with pytest.raises(InputError, match="9 x 40"):
        maximal_occurrence(np.zeros((1, 9, 40), int), 2)


# --- LOMO ----------------------------------------------------------------------------


def test_lomo_has_the_papers_width_and_unit_rows():
    features = lomo(_pictures(3, 128, 48))
    assert features.shape == (3, (8**3 + 2 * 3**4) * (24 + 11 + 5)) == (3, 26_960)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)
    # Each part has half of the squared length.
    colors = features[:, : 8**3 * 40]
    np.testing.assert_allclose(np.sum(colors**2, axis=1), 0.5, atol=1e-5)


def test_lomo_of_an_image_does_not_depend_on_the_others():
    pictures = _pictures(20, 40, 40)
    whole = lomo(pictures)
    np.testing.assert_allclose(lomo(pictures[17:18])[0], whole[17], atol=1e-6)


def test_lomo_keeps_a_person_who_turns():
    # 50 pixels: the windows tile the width, so that the mirror image has the same.
    pictures = _pictures(6, 130, 50, seed=2)
    here, mirrored = lomo(pictures), lomo(pictures[:, :, ::-1])
    distance = np.linalg.norm(here[:, None] - mirrored[None], axis=2)
    np.testing.assert_array_equal(distance.argmin(1), np.arange(6))
    others = distance[~np.eye(6, dtype=bool)]
    assert np.diag(distance).max() < 0.75 * others.min()
    # The colour part of the largest scale is the very same.
    first = slice(0, 25 * 512)
    np.testing.assert_allclose(
        here[:, first] > 0, mirrored[:, first] > 0, atol=0, rtol=0
    )


def test_lomo_hsv_bins_against_colorsys():
    colors = np.random.default_rng(0).uniform(0, 1, (1, 12, 12, 3)).astype(np.float32)
    colors[0, 0, :4] = [[0, 0, 0], [1, 1, 1], [1, 0, 0], [0.5, 0.5, 0.5]]
    found = _hsv_bins(colors)
    for row, column in np.ndindex(12, 12):
        hsv = colorsys.rgb_to_hsv(*colors[0, row, column].astype(float))
        h, s, v = (min(int(8 * share), 7) for share in hsv)
        assert found[0, row, column] == (h * 8 + s) * 8 + v


def test_lomo_counts_by_hand():
    # One flat colour: every histogram has all 100 pixels in one bin.
    features = lomo(np.full((1, 40, 40, 3), 200, np.uint8))
    filled = np.flatnonzero(features[0])
    rows = 7 + 3 + 1
    assert len(filled) == 3 * rows == lomo_dim(40, 40) // (512 + 162) * 3
    np.testing.assert_allclose(features[0, filled[:rows]], 1 / np.sqrt(2 * rows))
    np.testing.assert_allclose(features[0, filled[rows:]], 1 / np.sqrt(4 * rows))


def test_retinex_is_of_the_light_around():
    draw = np.random.default_rng(0)
    texture = draw.uniform(60, 90, (1, 64, 32, 3))
    shade = np.linspace(0.6, 1.6, 64)[None, :, None, None]
    lit = np.clip(texture * shade, 0, 255).astype(np.uint8)
    plain = texture.astype(np.uint8)

    def correlation(first, second):
        return np.corrcoef(first.ravel(), second.ravel())[0, 1]

    before = correlation(lit, plain)
    assert correlation(retinex(lit), retinex(plain)) > before + 0.2


def test_retinex_against_a_slow_loop():
    picture = _pictures(1, 9, 6)
    light = picture[0].astype(float) + 1
    found = np.zeros(light.shape)
    for y, x, c in np.ndindex(light.shape):
        for sigma in (5.0, 20.0):
            total = weights = 0.0
            for yy, xx in np.ndindex(9, 6):
                w = np.exp(-((yy - y) ** 2 + (xx - x) ** 2) / (2 * sigma**2))
                total, weights = total + w * light[yy, xx, c], weights + w
            found[y, x, c] += (np.log(light[y, x, c]) - np.log(total / weights)) / 2
        found[y, x, c] *= np.log(125 * light[y, x, c] / light[y, x].sum())
    expected = np.clip((found - found.mean()) / (2 * found.std()) / 2 + 0.5, 0, 1)
    np.testing.assert_allclose(retinex(picture)[0], expected, atol=1e-4)


def test_lomo_refuses():
    with pytest.raises(InputError, match="64 x 32: LOMO takes 40 x 40"):
        lomo(np.zeros((1, 64, 32, 3), np.uint8))
    with pytest.raises(InputError, match="uint8"):
        lomo(np.zeros((1, 64, 48, 3)))


# --- bags of words -------------------------------------------------------------------


def test_color_terms_are_shares_and_name_their_colors():
    shares = color_terms(_pictures(1, 16, 16))
    assert shares.shape == (1, 16, 16, 11)
    assert shares.min() >= 0
    np.testing.assert_allclose(shares.sum(-1), 1, atol=1e-5)
    named = {
        "black": (5, 5, 5),
        "white": (250, 250, 250),
        "grey": (120, 120, 125),
        "yellow": (230, 210, 70),
        "blue": (30, 60, 160),
        "pink": (230, 150, 175),
    }
    for name, color in named.items():
        assert TERMS[int(color_terms(np.array(color, np.uint8)).argmax())] == name


def test_a_patch_is_the_root_of_mean_shares():
    picture = _pictures(1, 8, 12)
    shares = color_terms(picture)[0]
    found = describe_patches(picture)
    assert found.shape == (1, 6, 11)
    expected = np.sqrt(shares[4:8, 8:12].reshape(16, 11).mean(0))
    np.testing.assert_allclose(found[0, 5], expected, atol=1e-6)


@pytest.fixture(scope="module")
def bags():
    return learn_bag_of_words(_pictures(12, 64, 32), num_words=20, assignments=3)


def test_bags_against_a_slow_loop(bags):
    pictures = _pictures(3, 64, 32, seed=5)
    patches = describe_patches(pictures)
    found = bags(pictures)
    assert found.shape == (3, 16 * 20)
    assert found.dtype == np.float32
    for n in range(3):
        counts = np.zeros((16, 20))
        for row, column in np.ndindex(16, 8):
            y, x = (row + 0.5) / 16 - 0.5, (column + 0.5) / 8 - 0.5
            weight = np.exp(-((y / 0.3) ** 2 + (x / 0.25) ** 2) / 2)
            far = np.linalg.norm(bags.words - patches[n, row * 8 + column], axis=1)
            counts[row, np.argsort(far)[:3]] += weight
        bag = np.sqrt(counts).ravel() * bags.rarity
        np.testing.assert_allclose(found[n], bag / np.linalg.norm(bag), atol=1e-5)


def test_rarity_is_that_of_words_in_stripes(bags):
    pictures = _pictures(12, 64, 32)
    patches = describe_patches(pictures).reshape(12, 16, 8, 11)
    far = np.linalg.norm(patches[..., None, :] - bags.words, axis=-1)
    nearest = np.argsort(far, axis=-1)[..., :3].reshape(12, 16, -1)
    for stripe, word in [(0, 0), (7, 11), (15, 19)]:
        images = sum(word in nearest[n, stripe] for n in range(12))
        rarity = bags.rarity.reshape(16, 20)[stripe, word]
        assert rarity == pytest.approx(np.log(13 / (1 + images)), abs=1e-6)


def test_bags_tell_people_apart_and_repeat(bags):
    pictures = _pictures(5, 64, 32, seed=9)
    moved = np.roll(pictures, 1, axis=2)
    distance = np.linalg.norm(bags(pictures)[:, None] - bags(moved)[None], axis=2)
    np.testing.assert_array_equal(distance.argmin(1), np.arange(5))
    again = learn_bag_of_words(_pictures(12, 64, 32), num_words=20, assignments=3)
    np.testing.assert_array_equal(again.words, bags.words)


def test_bags_of_images_that_are_all_alike_are_unit():
    pictures = _pictures(1, 64, 32).repeat(6, axis=0)
    learnt = learn_bag_of_words(pictures, num_words=20, assignments=3)
    counts = next(learnt._counted(pictures))[1]
    assert not (counts * learnt.rarity).any()  # no image has a word that is rare
    found = learnt(pictures)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(found, found[:1].repeat(6, axis=0))


def test_an_image_of_common_words_alone_is_like_none_with_a_rare_one(bags):
    pictures = _pictures(2, 64, 32)
    counts = next(bags._counted(pictures))[1]
    common = dataclasses.replace(bags, rarity=np.float32(counts[0] == 0))
    found = common(pictures)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert found[0] @ found[1] == 0


def test_bags_refuse(bags):
    with pytest.raises(InputError, match="60 x 32: bags of words take 64 x 4"):
        bags(np.zeros((1, 60, 32, 3), np.uint8))
    with pytest.raises(InputError, match="uint8"):
        bags(np.zeros((1, 64, 32), np.uint8))
    with pytest.raises(
        InputError, match="200 words and 3 assignments from 128 patches"
    ):
        learn_bag_of_words(_pictures(1, 64, 32), num_words=200, assignments=3)
    with pytest.raises(InputError, match="30 assignments"):
        learn_bag_of_words(_pictures(1, 64, 32), num_words=20, assignments=30)
