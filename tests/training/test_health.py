"""The watch on a run: each trouble on a small state, and the quiet of a sound one."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fgu_jax.config import Config, presets
from fgu_jax.errors import InputError
from fgu_jax.training import health, loop
from fgu_jax.training.state import create

N, D, U, WIDTH = 40, 6, 2, 5
CONFIG = Config()


def _unit(rows):
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def _state(seed=0, **changes):
    rng = np.random.default_rng(seed)
    state = create(
        variables={"params": {"w": jnp.zeros(1)}, "batch_stats": {}},
        optimizer=optax.sgd(0.1),
        global_features=_unit(rng.standard_normal((N, D))),
        patches=_unit(rng.standard_normal((U, N, WIDTH))),
        seed=0,
    )
    return state.replace(step=jnp.ones((), jnp.int32), **changes)


def _record(state, epoch=3, config=CONFIG):
    clusters = {"epoch": epoch, "clusters": int(state.num_clusters)}
    return clusters | health.figures(config, state)


def _slow_spread(rows):
    cosines = [a @ b for i, a in enumerate(rows) for b in rows[:i]]
    return 1 - np.mean(cosines)


def test_spread_by_hand():
    # Two rows at a right angle, one opposite to the first: cosines 0, 0 and -1.
    table = np.zeros((N, D), np.float32)
    table[:3, 0], table[1] = [1, 0, -1], np.eye(D)[1]
    state = _state(cluster_memory=jnp.asarray(table), num_clusters=jnp.asarray(3))
    assert health.figures(CONFIG, state)["spread"] == pytest.approx(4 / 3)


def test_figures_against_loops():
    labels = np.arange(N) % 7
    labels[:20] = 3
    state = _state(num_clusters=jnp.asarray(7), labels=jnp.asarray(labels))
    found = health.figures(CONFIG, state)
    table = np.asarray(state.cluster_memory, np.float64)[:7]
    assert found["spread"] == pytest.approx(_slow_spread(table), abs=1e-6)
    least = min(_slow_spread(x) for x in np.asarray(state.patch_memory, np.float64))
    assert found["patch_spread"] == pytest.approx(least, abs=1e-6)
    assert found["largest_cluster"] == np.sum(labels == 3) / N


def test_rows_that_no_image_has_filled_are_left_out_of_the_spread():
    state = _state()
    half = state.cluster_memory.at[N // 2 :].set(0)
    filled = np.asarray(half[: N // 2], np.float64)
    found = health.figures(CONFIG, state.replace(cluster_memory=half))
    assert found["spread"] == pytest.approx(_slow_spread(filled), abs=1e-6)


def test_before_the_first_step_the_features_count_not_an_empty_memory():
    state = _state().replace(step=jnp.zeros((), jnp.int32))
    empty = state.replace(cluster_memory=jnp.zeros_like(state.cluster_memory))
    assert health.figures(CONFIG, empty) == health.figures(CONFIG, state)
    assert health.figures(CONFIG, empty)["spread"] > 0.5


def test_the_first_spread_is_of_directions_not_of_short_centres():
    # As k-means leaves it: centres are means of several unit rows.
    rng = np.random.default_rng(2)
    lengths = rng.uniform(0.2, 0.9, (N, 1)).astype(np.float32)
    state = _state().replace(step=jnp.zeros((), jnp.int32))
    short = state.replace(centres=state.centres * lengths)
    rows = np.asarray(state.centres, np.float64)
    found = health.figures(CONFIG, short)["spread"]
    assert found == pytest.approx(_slow_spread(rows), abs=1e-6)


def test_a_sound_state_is_not_complained_of():
    state = _state()
    first = _record(state, 0)
    for watch in ("warn", "stop", "off"):
        assert health.check(Config(watch=watch), state, _record(state), [first]) == []
    assert health.check(Config(), state, _record(state), []) == []


def _large(share, num_clusters=30):
    labels = np.arange(N) % num_clusters
    labels[: round(share * N)] = 0
    return _state(labels=jnp.asarray(labels), num_clusters=jnp.asarray(num_clusters))


def test_a_cluster_that_swallows_the_images():
    state = _large(0.4)
    (line,) = health.check(Config(), state, _record(state), [_record(_state(), 0)])
    assert line.startswith("epoch 3: one of 30 clusters holds 42% of the images")
    assert "watch_cluster_share is 0.2" in line
    assert "merge_criterion" in line
    assert "\n" not in line
    at_ease = Config(watch_cluster_share=0.5)
    assert health.check(at_ease, state, _record(state), []) == []


BY_DISTANCE = {"distance": "jaccard", "merge_criterion": "average"}


@pytest.mark.parametrize(
    ("changes", "mend"),
    [
        (
            {},
            "merges chain; try merge_criterion=average, a smaller merge_fraction or an "
            "earlier merge_stop",
        ),
        (
            {"merge_criterion": "average"},
            "try a smaller merge_fraction or an earlier merge_stop",
        ),
        (BY_DISTANCE, "try a smaller max_distance"),
        (
            BY_DISTANCE | {"last_max_distance": 0.8, "merge_start": 1},
            "try a smaller max_distance or last_max_distance",
        ),
        (
            BY_DISTANCE | {"merge_criterion": "dbscan", "merge_from": "images"},
            "merges chain; try merge_criterion=average, a smaller max_distance",
        ),
        ({"clustering": "kmeans"}, "try more kmeans_clusters"),
    ],
)
def test_a_large_cluster_has_the_mend_of_how_clusters_are_made(changes, mend):
    state = _large(0.4)
    (line,) = health.check(Config(**changes), state, _record(state), [])
    assert line.endswith(f"(watch_cluster_share is 0.2): {mend}")


@pytest.mark.parametrize(
    ("changes", "mend"),
    [
        ({}, "a smaller merge_fraction"),
        (BY_DISTANCE, "a max_distance that leaves more clusters"),
        ({"clustering": "kmeans"}, "more kmeans_clusters"),
    ],
)
def test_few_clusters_have_the_mend_of_how_clusters_are_made(changes, mend):
    config = Config(batch_size=32, images_a_cluster=4, **changes)
    state = _state()
    (line,) = health.check(config, state, _record(state) | {"clusters": 7}, [])
    assert line.endswith(f"; try a smaller batch_size, or {mend}")


def test_what_is_wrong_before_the_first_epoch_is_told_there_and_not_again():
    state = _large(0.4)
    record = _record(state, 0)
    (line,) = health.check(CONFIG, state, record, [])
    assert line.startswith("epoch 0: one of 30 clusters holds 42% of the images")
    assert health.check(CONFIG, state, _record(state, 1), [record]) == []
    wrong = record | {"spread": np.nan}
    with pytest.raises(InputError, match="is nan before the first epoch: give another"):
        health.check(CONFIG, state, wrong, [])


def test_among_few_clusters_none_is_too_large():
    state = _large(0.6, num_clusters=5)
    assert health.check(Config(), state, _record(state), []) == []


def test_clusters_that_are_fewer_than_a_batch_takes_are_told_of_once():
    config = Config(batch_size=32, images_a_cluster=4)
    state = _state()
    few, enough = _record(state) | {"clusters": 7}, _record(state) | {"clusters": 8}
    (line,) = health.check(config, state, few, [enough])
    assert "7 clusters, and a batch is of 8: each comes into it more than once" in line
    assert health.check(config, state, few, [few]) == []
    assert health.check(config, state, enough, [enough]) == []
    assert health.check(Config(batch_size=32), state, few, [enough]) == []


def test_it_is_told_of_once_but_stops_for_as_long_as_it_lasts():
    state = _large(0.4)
    record = _record(state)
    history = [_record(_state(), 0), record | {"epoch": 2}]
    assert health.check(Config(), state, record, history) == []
    assert len(health.check(Config(watch="stop"), state, record, history)) == 1


def test_features_that_collapse_to_a_point():
    sound, rng = _state(), np.random.default_rng(1)
    near = _unit(np.ones(D) + 0.05 * rng.standard_normal((N, D)))
    state = sound.replace(cluster_memory=jnp.asarray(near))
    history = [_record(sound, 0), _record(sound, 2)]
    (line,) = health.check(Config(), state, _record(state), history)
    assert line.startswith("epoch 3: global features collapse to a point: their spread")
    assert line.endswith("try a lower learning_rate, weight_decay or attract_weight")
    (line,) = health.check(Config(attract_weight=0), state, _record(state), history)
    assert line.endswith("try a lower learning_rate or weight_decay")
    assert "learning_rate" in line
    assert health.check(Config(watch="off"), state, _record(state), history) == []
    # What is that close from the beginning has not collapsed.
    start = [_record(state, 0), _record(state, 2)]
    assert health.check(Config(), state, _record(state), start) == []
    # A run of an older version has no first figure to compare with.
    old = [{"epoch": 0, "clusters": N}, {"epoch": 2, "clusters": N}]
    assert health.check(Config(), state, _record(state), old) == []


def test_one_patch_that_collapses():
    sound = _state()
    patches = np.array(sound.patch_memory)
    patches[1] = _unit(np.ones(WIDTH))
    state = sound.replace(patch_memory=jnp.asarray(patches))
    history = [_record(sound, 0)]
    (line,) = health.check(Config(), state, _record(state), history)
    assert "patch features collapse" in line


def _clusters(count, **changes):
    labels = jnp.arange(N) % count
    return _state(labels=labels, num_clusters=jnp.asarray(count), **changes)


def test_patches_of_clusters_that_collapse_are_seen_beside_dead_rows():
    config = Config(patch_loss="clusters")
    sound = _clusters(10)
    table = sound.patch_memory.at[:, :10].set(_unit(np.ones(WIDTH)))
    state = sound.replace(patch_memory=table)
    history = [_record(sound, 0, config)]
    live = np.asarray(sound.patch_memory[:, :10], np.float64)
    wanted = min(map(_slow_spread, live))
    assert history[0]["patch_spread"] == pytest.approx(wanted, abs=1e-6)
    record = _record(state, config=config)
    assert record["patch_spread"] == pytest.approx(0, abs=1e-6)
    (line,) = health.check(config, state, record, history)
    assert "patch features collapse" in line
    # Until clusters are first made W has a row an image, each a cluster.
    first = health.figures(config, _state())
    assert first == health.figures(CONFIG, _state())


@pytest.mark.parametrize("step", [0, 1])
def test_a_memory_of_images_counts_all_of_its_rows(step):
    config = Config(memory_rows="images")
    state = _clusters(10).replace(step=jnp.asarray(step))
    rows = np.asarray(state.cluster_memory, np.float64)
    found = health.figures(config, state)["spread"]
    assert found == pytest.approx(_slow_spread(rows), abs=1e-6)


def test_the_watch_is_compiled_once_whatever_the_rows_are_of(monkeypatch):
    traces, spreads = [], health._spreads

    @jax.jit
    def traced(*arguments):
        traces.append(1)
        return spreads(*arguments)

    monkeypatch.setattr(health, "_spreads", traced)
    for changes in ({}, {"patch_loss": "clusters"}, {"memory_rows": "images"}):
        for state in (_state(), _clusters(10), _clusters(4)):
            health.figures(Config(**changes), state)
    assert len(traces) == 1


def test_a_dead_row_of_the_patch_memory_may_have_any_length():
    config = Config(patch_loss="clusters")
    sound = _clusters(10)
    dead = sound.replace(patch_memory=sound.patch_memory.at[:, 10:].multiply(7))
    assert health.check(config, dead, _record(dead, config=config), []) == []
    wrong = sound.replace(patch_memory=sound.patch_memory.at[1, 9].multiply(3))
    (line,) = health.check(config, wrong, _record(wrong, config=config), [])
    assert "row 9 of the patch memory W, patch 1, has length 3" in line


@pytest.mark.parametrize("length", [0.5, 1.01, 0.0])
def test_a_row_of_the_cluster_memory_that_is_not_unit(length):
    sound = _state()
    table = sound.cluster_memory.at[17].multiply(length)
    state = sound.replace(cluster_memory=table)
    (line,) = health.check(Config(), state, _record(state), [])
    assert f"row 17 of the cluster memory V has length {length:.4g}, not 1" in line


def test_a_row_of_the_patch_memory_that_is_not_unit():
    sound = _state()
    state = sound.replace(patch_memory=sound.patch_memory.at[1, 9].multiply(3))
    (line,) = health.check(Config(), state, _record(state), [])
    assert "row 9 of the patch memory W, patch 1, has length 3, not 1" in line


def test_dead_rows_and_rows_still_empty_may_have_any_length():
    sound = _state()
    dead = sound.replace(
        num_clusters=jnp.asarray(20),
        cluster_memory=sound.cluster_memory.at[20:].multiply(7),
        labels=sound.labels % 20,
    )
    assert health.check(Config(), dead, _record(dead), []) == []
    empty = sound.replace(cluster_memory=sound.cluster_memory.at[5].set(0))
    zeros = Config(memory_start="zeros")
    assert health.check(zeros, empty, _record(empty), []) == []
    merged = empty.replace(num_clusters=jnp.asarray(20), labels=sound.labels % 20)
    assert len(health.check(zeros, merged, _record(merged), [])) == 1


@pytest.mark.parametrize("watch", ["warn", "stop", "off"])
def test_what_is_not_finite_ends_the_run_whatever_the_watch(watch):
    sound = _state()
    state = sound.replace(cluster_memory=sound.cluster_memory.at[3, 2].set(np.nan))
    with pytest.raises(InputError, match="spread of the memory is nan after epoch 3"):
        health.check(Config(watch=watch), state, _record(state), [])


def test_a_row_with_nan_is_the_worst():
    sound = _state()
    table = sound.cluster_memory.at[3].multiply(2).at[8, 0].set(np.nan)
    state = sound.replace(cluster_memory=table)
    (line,) = health.check(Config(), state, _record(sound), [])
    assert "row 8 of the cluster memory V has length nan" in line


def test_a_run_that_collapses_warns_or_stops(trained_run, tmp_path):
    """On the run of all tests: a limit that it must cross at its first epoch."""
    changes = {"workdir": str(tmp_path / "run"), "watch_spread": 1.0, "epochs": 1}
    config = dataclasses.replace(trained_run.config, watch="stop", **changes)
    first = trained_run.history[:2]
    assert any(first[1][k] < first[0][k] for k in ("spread", "patch_spread"))
    with pytest.raises(InputError, match=r"epoch 1: .* collapse .*checkpoint stays"):
        loop.fit(config, quiet=True)
    warned = loop.fit(dataclasses.replace(config, watch="warn"), quiet=True)
    text = (warned.directory / "run.json").read_text()
    assert text.count("collapse to a point") == 2  # of both sessions
    assert warned.history[0] == first[0]
    assert warned.history[1].items() >= first[1].items()


def test_the_quick_preset_has_the_watch_on():
    assert presets.resolve({"dataset": "synthetic"}).watch == "warn"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_is_named(value):
    losses = health.FiniteLosses(3)
    losses.push(7, {"loss": np.float32(1)})
    losses.push(8, {"loss": np.float32(value)})
    with pytest.raises(InputError, match=rf"loss is {value} in epoch 3, step 8"):
        losses.check()


def test_losses_are_read_one_step_late():
    losses = health.FiniteLosses(1, every=0.0)
    assert losses.push(1, {"loss": np.float32(np.nan)})  # not read: the newest
    with pytest.raises(InputError, match="step 1"):
        losses.push(2, {"loss": np.float32(0)})
