"""bench.py at tiny sizes: every piece checks, measures, prints, writes JSON."""

import json

import numpy as np
import pytest

from fgu_jax.bench import PIECES, measure
from fgu_jax.bench.features import clustered, open_features
from fgu_jax.bench.machine import Rates
from fgu_jax.bench.measure import Options, Unequal, Work
from fgu_jax.bench.pieces import merge as merge_piece
from fgu_jax.bench.pieces import step as step_piece
from fgu_jax.bench.pieces.collectives import collective_bytes, predicted_bytes
from fgu_jax.bench.rivals import merging as plain_merging
from fgu_jax.bench.rivals import retrieval as plain_retrieval
from fgu_jax.bench.sizes import SIZES, Evaluate, Merge, Step
from fgu_jax.merging import merge_clusters

SMALL = {
    "pedal": "--images=60 --batch=4 --patches=2 --width=8 --global_width=8 "
    "--neighbors=3 --clusters=9 --global_batch=4",
    "merge": "--images=120 --width=8",
    "evaluate": "--queries=20 --gallery=90 --width=8",
    "rerank": "--queries=20 --gallery=90 --width=8 --rival_images=60",
    "memory": "--images=50 --batch=4 --global_width=8 --patches=2 --width=4",
    "embed": "--images=64 --backbone=resnet_micro --height=32 --width=16",
    "decode": "--images=6 --height=16 --width=8",
    "recipe": "--backbone=resnet_micro --identities=12 --height=32 --width=16 "
    "--patches=2 --batch=16",
}
RATES = Rates(1e9, 1e9, "float32")


@pytest.fixture
def run_bench(run_command, tmp_path):
    def run(piece, *flags):
        output = tmp_path / f"{piece}.json"
        code, out, err = run_command(
            "bench", piece, "--tiny", "--repeats=2", f"--output={output}", *flags
        )
        found = json.loads(output.read_text()) if output.exists() else None
        return code, out, err, found

    return run


@pytest.mark.parametrize("piece", SMALL)
def test_a_piece_from_flags_to_json(run_bench, piece):
    code, out, err, found = run_bench(piece, "--no_memory", *SMALL[piece].split())
    assert (code, err) == (0, "")
    assert found["piece"] == piece
    assert found["sizes"].keys() == {*SIZES[piece].__dataclass_fields__}
    assert found["machine"]["cores"] >= 1
    assert found["versions"]["jax"]
    for row in found["rows"]:
        assert row["runs"] == 2
        assert row["seconds_least"] <= row["seconds"] <= row["seconds_most"]
        assert row["over_floor"] > 0
        assert row["checked"]
        for rival in row["rivals"].values():
            ratio = rival["seconds"] / row["seconds"]
            assert rival["ratio"] == pytest.approx(ratio, rel=1e-3)
    assert found["rows"][0]["what"].split(",")[0] in out
    assert "peak_mib" not in found["rows"][0]


def test_every_piece_has_sizes_and_a_module(run_command):
    assert list(SIZES) == list(PIECES)
    code, out, _ = run_command("bench", "--help")
    assert code == 0
    assert all(piece in out for piece in PIECES)


def test_memory_is_that_of_a_process_alone(run_bench):
    flags = "--images=400 --width=8 --variants=fresh"
    code, _, err, found = run_bench("merge", *flags.split())
    assert (code, err) == (0, "")
    row = found["rows"][0]
    assert row["peak_mib"] > 10
    assert 0 <= row["peak_on_top_mib"] < row["peak_mib"]
    assert row["rivals"]["one N x N product"]["peak_mib"] > 10


def test_features_from_a_file(run_bench, tmp_path):
    drawn = open_features(Evaluate(queries=20, gallery=90, width=8))
    path = tmp_path / "features.npz"
    np.savez(path, query=drawn.query, gallery=drawn.gallery, **drawn.labels)
    code, _, _, found = run_bench("evaluate", "--no_memory", f"--features={path}")
    assert code == 0
    assert "20 x 90" in found["rows"][0]["what"]
    assert found["sizes"]["features"] == "features.npz"
    np.savez(path, query=drawn.query)
    code, _, err, _ = run_bench("evaluate", f"--features={path}")
    assert code == 2
    assert "gallery" in err
    code, _, err, _ = run_bench("evaluate", f"--features={tmp_path / 'no.npz'}")
    assert (code, err.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("merge", "--variants=old"), "fresh, half, duplicates"),
        (("merge", "--repeats=0"), "repeats is 0"),
        (("merge", "--imags=3"), "did you mean --images"),
        (("scale", "--batch=12"), "not divisible by 8"),
        (("step", "--precision=float16"), "float32 or bfloat16"),
    ],
)
def test_a_user_is_told_in_one_line(run_bench, flags, said):
    code, _, err, found = run_bench(*flags)
    assert (code, found) == (2, None)
    assert said in err
    assert err.count("\n") == 1


def _work(result, rival):
    def check(results):
        measure.close(results["fgu_jax"], results["other"], "numbers")
        return measure.same_as(results, "numbers")

    return Work(
        what="a",
        run=lambda: np.array(result),
        rivals={"other": lambda: np.array(rival)},
        check=check,
        operations=2e9,
        items=10,
    )


def test_nothing_unequal_is_timed():
    options = Options(repeats=1, memory=False)
    with pytest.raises(Unequal, match="numbers: 1 of 2 differ, by 1"):
        measure.measure("x", None, [_work([1.0, 2.0], [1.0, 3.0])], RATES, options)
    row = measure.measure("x", None, [_work([1.0], [1.0])], RATES, options)[0]
    assert row["floor_seconds"] == 2.0
    assert row["over_floor"] == pytest.approx(row["seconds"] / 2)
    assert row["images_per_second"] == pytest.approx(10 / row["seconds"])
    assert row["checked"] == "numbers equal to other"


def test_nan_is_equal_to_nothing():
    with pytest.raises(Unequal):
        measure.close([np.nan], [np.nan], "nan")


def test_dense_rivals_agree_with_the_library():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 12, 80)
    features = clustered(rng, labels, 6, 0.5)
    start = np.arange(80)
    half = merge_clusters(features, start, 40)
    for clusters in (start, half):
        np.testing.assert_array_equal(
            plain_merging.merge_as_buc(features, clusters, 30),
            merge_clusters(features, clusters, 30),
        )
    ranked = open_features(Evaluate(queries=15, gallery=60, width=6))
    found = plain_retrieval.evaluate(ranked)
    assert 0 < found["mAP"] <= found["rank1"] + 1


def test_wrong_labels_of_a_merge_are_seen():
    work = merge_piece.works(Merge(images=60, width=4, variants="fresh"))[0]
    labels, heights = work.run()
    with pytest.raises(Unequal, match="clusters became"):
        work.check({"fgu_jax": (labels, heights[:-1])})
    name = "BUC's steps"
    with pytest.raises(Unequal, match="60 labels differ"):
        work.check({"fgu_jax": (labels, heights), name: labels + 1})


def test_bytes_of_collectives_in_a_compiled_step():
    text = (
        "  %r = f32[8]{0} all-reduce-start(f32[8]{0} %x), channel_id=1\n"
        "  %d = f32[8]{0} all-reduce-done(%r)\n"
        "  ROOT %g = (bf16[2,3]{1,0}, s32[4]{0}) all-gather(%a, %b), dimensions={0}\n"
        "  %s = f32[] all-reduce(%l), to_apply=%add\n"
        "  %n = f32[100]{0} add(%x, %y)\n"
    )
    assert collective_bytes(text) == {"all-reduce": 36, "all-gather": 28}
    variables = {"params": np.zeros(5, "f4"), "batch_stats": np.zeros(3, "f4")}
    features = (np.zeros((1, 4), "f4"), np.zeros((2, 1, 3), "f4"))
    assert predicted_bytes(variables, 2, features) == {
        "all-reduce": 20 + 24 + 16,
        "all-gather": 2 * (40 + 8),
    }


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["resnet18", "efficientnet_lite0"])
def test_the_plain_network_is_ours(backbone):
    """Same weights and batch in PyTorch: the same first loss, and a second that follows
    from the same gradient and memories."""
    pytest.importorskip("torch")
    sizes = Step(backbone=backbone, batch=4, height=64, width=32, images=40)
    work = step_piece.works(sizes)[0]
    mine = [float(work.run()) for _ in range(2)]
    other = [float(work.rivals["PyTorch"]()) for _ in range(2)]
    np.testing.assert_allclose(mine, other, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("piece", "flags"),
    [
        ("scale", "--steps=2 --most_devices=2 --batch=8 --images=32"),
        ("epoch", "--identities=6 --height=32 --width=16 --patches=2 --batch=8"),
    ],
)
def test_slow_pieces(run_bench, piece, flags):
    code, _, err, found = run_bench(piece, *flags.split())
    assert (code, err) == (0, "")
    assert found["rows"][0]["seconds"] > 0
    if piece == "scale":
        two = found["rows"][1]
        assert two["bytes_sent"]["all-gather"] == two["bytes_predicted"]["all-gather"]
