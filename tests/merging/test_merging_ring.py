"""Merging on a ring of devices: its bounds, its passes, and the same labels at last."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fgu_jax.errors import InputError
from fgu_jax.merging import (
    merge_clusters,
    merge_with_heights,
    ring_candidates,
    single_linkage,
)
from fgu_jax.merging.bounds import UNDERFLOW, Frame, lowered, products_below, raised
from fgu_jax.merging.ring import Ring, place_layers
from fgu_jax.merging.ring_candidates import candidates_on_ring
from fgu_jax.merging.ring_nearest import nearest_on_ring


def measured(features, frame):
    """Rows as one device of a ring holds them, and how far rounding moved one."""
    ring = Ring.of(jax.devices()[:1])
    everyone = np.arange(len(features))
    layers, off = place_layers(ring, features, everyone, frame, len(features))
    return layers[0], off


def adversarial(kind, num_columns, rng):
    """Float32 rows that rounding to eight bits treats badly."""
    some = rng.standard_normal((48, num_columns))
    if kind == "half way":  # between two bfloat16 numbers, all rounded the same way
        some = (1 + 2.0**-8 + 2.0**-7 * rng.integers(0, 60, some.shape)) / 2
    elif kind == "near equal":
        some[1:] = some[0] + 1e-3 * some[1:]
    elif kind == "tiny and large":
        some *= 10.0 ** rng.integers(-12, 8, (48, 1))
    elif kind == "far away":
        some += 3000
    elif kind == "subnormal":
        some *= 1e-41
    elif kind == "one sign":  # the errors of a running sum add up
        some = 1 + rng.random(some.shape) * 2.0**-12
    return some.astype(np.float32)


KINDS = ["half way", "near equal", "tiny and large", "far away", "subnormal"]


@pytest.mark.parametrize("num_columns", [1, 33, 2048])
@pytest.mark.parametrize("kind", [*KINDS, "one sign", "normal"])
def test_bounds_never_exceed_what_they_bound(kind, num_columns):
    features = adversarial(kind, num_columns, np.random.default_rng(num_columns))
    frame = Frame.around(features)
    if kind == "one sign":
        frame = Frame(np.zeros(num_columns, np.float32), np.float32(2.0**-7))
    rows, off = measured(features, frame)
    exact = frame.move(features, np.float64)
    rounded = np.asarray(rows.rows).astype(jnp.bfloat16).astype(np.float64)
    assert np.linalg.norm(rounded - exact, axis=1).max() <= off

    distances = np.square(exact[:, None] - exact[None]).sum(axis=-1)
    of_rounded = np.square(rounded[:, None] - rounded[None]).sum(axis=-1)
    narrow = jax.jit(products_below, static_argnames="narrow")
    found = np.asarray(narrow(rows, rows, narrow=True), np.float64)
    assert (found <= of_rounded + UNDERFLOW).all()
    # Pairs at exactly their limit pass.
    limits = (distances + UNDERFLOW).astype(np.float32)
    limits = np.nextafter(limits, np.float32(np.inf))
    assert (found <= np.asarray(raised(jnp.asarray(limits), 2 * off))).all()
    assert (lowered(np.maximum(found, 0), 2 * off) <= distances + UNDERFLOW).all()
    full = np.asarray(narrow(rows, rows, narrow=False), np.float64)
    assert (full <= distances + UNDERFLOW).all()
    # Of use, too: off by little beside the norms.
    norms = np.square(exact).sum(axis=1)
    allowed = 40 * num_columns * 2.0**-24 + 2.0**-18
    slack = allowed * (norms[:, None] + norms) + UNDERFLOW
    assert (found >= of_rounded - slack).all()


def test_rounding_is_that_of_bfloat16():
    features = np.array([[1 + 2.0**-8 - 2.0**-20, -0.75]], np.float32)
    frame = Frame(np.zeros(2, np.float32), np.float32(1))
    _, off = measured(features, frame)
    assert 2.0**-8 - 2.0**-20 <= off < 2.0**-8


def test_minus_infinity_is_no_limit():
    found = np.asarray(raised(jnp.array([-jnp.inf, 0.0, 4.0]), 0.5))
    assert found[0] == -np.inf
    np.testing.assert_allclose(found[1:], [0.25, 6.25], rtol=1e-5)


def test_the_products_are_narrow_and_the_second_look_is_not():
    rows, _ = measured(
        np.eye(4, dtype=np.float32), Frame.around(np.eye(4, dtype=np.float32))
    )
    for narrow, said in ((True, "bf16"), (False, "HIGHEST")):
        text = str(
            jax.make_jaxpr(lambda r, n=narrow: products_below(r, r, narrow=n))(rows)
        )
        assert said in text


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_every_two_blocks_meet(size, layers):
    ring = Ring.of(jax.devices()[:size])
    met = [
        tuple(sorted(ring.blocks(meeting, device)))
        for shift in ring.shifts()
        for meeting in ring.meetings(layers, shift)
        for device in range(size)
    ]
    blocks = range(layers * size)
    assert set(met) == {(a, b) for a in blocks for b in blocks if a <= b}
    # Twice only at half a turn, and there only within a layer.
    twice = size // 2 * layers if size % 2 == 0 else 0
    assert len(met) == len(set(met)) + twice
    assert ring.num_meetings(layers) * size == len(met)


@pytest.mark.parametrize("devices", [1, 3, 4])
@pytest.mark.parametrize("narrow", [False, True])
def test_nearest_on_ring(devices, narrow):
    rng = np.random.default_rng(devices)
    features = rng.standard_normal((61, 5)).astype(np.float32)
    labels = rng.integers(0, 9, 61)
    frame = Frame.around(features)
    ring = Ring.of(jax.devices()[:devices])
    layers, off = place_layers(ring, features, np.arange(61), frame, 8)
    done = []
    squared, neighbours = nearest_on_ring(
        ring, layers, labels, narrow=narrow, progress=lambda *now: done.append(now)
    )
    total = ring.num_meetings(len(layers))
    assert [now[:2] for now in done] == [(k + 1, total) for k in range(total)]
    bounds = lowered(squared, 2 * off if narrow else 0.0)

    moved = frame.move(features, np.float64)
    distances = np.square(moved[:, None] - moved).sum(axis=-1)
    distances[labels[:, None] == labels] = np.inf
    assert (labels[neighbours] != labels).all()
    found = distances[np.arange(61), neighbours]
    least = distances.min(axis=1)
    assert (bounds <= least).all()
    np.testing.assert_allclose(np.sqrt(bounds), np.sqrt(least), atol=0.02, rtol=0.01)
    np.testing.assert_allclose(np.sqrt(found), np.sqrt(least), atol=0.02, rtol=0.01)


@pytest.mark.parametrize(
    ("devices", "narrow", "room"),
    [(1, True, "enough"), (4, False, "enough"), (4, True, "none")],
)
def test_candidates_hold_all_pairs_within_their_limit(
    devices, narrow, room, monkeypatch
):
    jax.clear_caches()  # the room is a constant of the compiled functions
    monkeypatch.setattr(ring_candidates, "_SHARE", 1 if room == "enough" else 1000)
    monkeypatch.setattr(ring_candidates, "_WITHIN", 64 if room == "enough" else 0)
    num_rows = 300
    rng = np.random.default_rng(devices)
    features = rng.standard_normal((num_rows + 5, 2)).astype(np.float32)
    chosen = rng.permutation(num_rows + 5)[:num_rows]
    frame = Frame.around(features)
    moved = frame.move(features[chosen], np.float64)
    distances = np.square(moved[:, None] - moved).sum(axis=-1)
    gaps = np.quantile(distances, 0.05) * rng.random(num_rows - 1) ** 60
    gaps[rng.random(num_rows - 1) < 0.3] = -np.inf
    limits = np.full((num_rows, num_rows), -np.inf)
    for p in range(num_rows):
        limits[p, p + 1 :] = np.maximum.accumulate(gaps[p:])
    expected = {
        tuple(sorted(pair))
        for pair in chosen[np.argwhere(distances <= limits)].tolist()
    }
    found = [
        pair
        for i, j in candidates_on_ring(
            Ring.of(jax.devices()[:devices]),
            features,
            chosen,
            gaps,
            frame,
            narrow=narrow,
        )
        for pair in zip(i.tolist(), j.tolist(), strict=True)
    ]
    assert all(i < j for i, j in found)
    assert len(found) == len(set(found))
    assert set(found) >= expected
    assert len(found) < 1.02 * len(expected) + 5, "float32 lets few others through"
    jax.clear_caches()


def people(rng, num_images, num_columns, spread):
    centres = rng.standard_normal((num_images // 15, num_columns))
    rows = centres[rng.integers(0, len(centres), num_images)]
    rows = rows + spread * rng.standard_normal(rows.shape)
    rows = rows.astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def same_on(devices, features, labels, num_merges):
    expected = merge_with_heights(features, labels, num_merges)
    for count in devices:
        found = merge_with_heights(
            features, labels, num_merges, devices=jax.devices()[:count]
        )
        assert np.array_equal(found[0], expected[0])
        assert np.array_equal(found[1], expected[1])


def test_labels_are_those_of_the_cpu_bit_for_bit():
    rng = np.random.default_rng(0)
    features = people(rng, 600, 24, 0.3)
    same_on((1, 2, 4, 8), features, np.arange(600), 30)
    # Half merged, and so many that one round does not suffice.
    half = merge_clusters(features, np.arange(600), 300)
    same_on((1, 8), features, half, 250)
    # One row in ten is a copy.
    features[rng.permutation(600)[:60]] = features[:60]
    same_on((1, 8), features, np.arange(600), 90)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_rounding_treats_badly(kind):
    rng = np.random.default_rng(1)
    parts = [adversarial(kind, 24, rng) for _ in range(4)]
    features = np.concatenate(parts)
    same_on((4,), features, np.arange(len(features)), 20)
    same_on((4,), features, np.arange(len(features)) // 2, 60)


def test_near_ties_and_many_ties():
    rng = np.random.default_rng(2)
    grid = rng.integers(0, 5, (300, 4)).astype(np.float32)
    same_on((4,), grid, np.arange(300), 200)
    # Distances within a few parts in a million of each other.
    base = 40 * rng.standard_normal((100, 64))
    step = rng.standard_normal((100, 64))
    step /= np.linalg.norm(step, axis=1, keepdims=True)
    step *= 1 + 3e-6 * rng.permutation(100)[:, None]
    features = np.concatenate([base, base + step]).astype(np.float32)
    same_on((4,), features, np.arange(200), 50)


def test_float32_where_bfloat16_cannot_tell(monkeypatch):
    used = []
    told = ring_candidates.RingFinder.in_float32

    def in_float32(self):
        used.append(self.reach)
        told(self)

    monkeypatch.setattr(ring_candidates.RingFinder, "in_float32", in_float32)
    rng = np.random.default_rng(3)
    features = people(rng, 150, 16, 0.3)
    same_on((2,), features, np.arange(150), 10)
    assert not used
    same_on(
        (2,), (features + 1e-4 * features[::-1] / 3e3 + 5)[:, :1], np.arange(150), 9
    )
    assert used


def test_several_layers_on_each_device(monkeypatch):
    monkeypatch.setattr(ring_candidates, "even_block_rows", lambda rows, **kind: 64)
    monkeypatch.setattr(ring_candidates, "_block_rows", lambda ring, rows: 64)
    monkeypatch.setattr(single_linkage, "_MOST_PENDING", 64)
    features = people(np.random.default_rng(4), 500, 24, 0.3)
    same_on((1, 2, 4), features, np.arange(500), 100)


def test_devices_that_cannot_be():
    features = np.eye(4, dtype=np.float32)
    device = jax.devices()[0]
    for devices in ([], [device, device]):
        with pytest.raises(InputError, match="give one or more, each once"):
            merge_clusters(features, np.arange(4), 1, devices=devices)
    features[2] = np.nan
    with pytest.raises(InputError, match="first is row 2"):
        merge_clusters(features, np.arange(4), 1, devices=[device])
