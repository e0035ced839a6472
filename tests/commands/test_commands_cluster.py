"""cluster.py: any folder or features, told nothing or much, nothing lost silently."""

import csv
import re

import numpy as np
import pytest

from fgu_jax.clustering import clustering, compare
from fgu_jax.data import load_dataset
from fgu_jax.errors import InputError
from fgu_jax.inference.beside import beside_known
from fgu_jax.inference.feature_file import read_features
from fgu_jax.messages import counted


def _read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def cluster(run_command, trained_run, photos, tmp_path):
    """Runs the command on the photos; code, stdout, stderr, rows."""

    def run(*arguments):
        output = tmp_path / "clusters.csv"
        code, out, err = run_command(
            "cluster",
            f"--checkpoint={trained_run.directory}",
            f"--images={photos}",
            f"--output={output}",
            *arguments,
        )
        return code, out, err, _read(output) if output.exists() else None

    return run


@pytest.fixture
def by_features(run_command, tmp_path):
    """Runs the command on 60 features of 10 identities and 3 cameras."""

    def run(*arguments, names=None, rows=None):
        random = np.random.default_rng(0)
        truth = np.repeat(np.arange(10), 6)
        given = random.standard_normal((10, 16))[truth]
        given = given + 0.4 * random.standard_normal((60, 16))
        if names is None:
            names = [f"{i:02}_c{row % 3}_{row}.jpg" for row, i in enumerate(truth)]
        features, output = tmp_path / "f.npz", tmp_path / "clusters.csv"
        np.savez(features, names=names, features=given if rows is None else rows)
        code, out, err = run_command(
            "cluster", f"--features={features}", f"--output={output}", *arguments
        )
        return code, out, err, _read(output) if output.exists() else None

    return run


@pytest.mark.parametrize("stop", ["--clusters=5", "--distance=0.4", None])
def test_writes_image_cluster_confidence_and_the_nearest_other(
    cluster, photos, network, stop
):
    code, out, err, rows = cluster(*([stop] if stop else []))
    assert (code, err) == (0, "")
    images = load_dataset("folder", data_dir=photos).train
    assert tuple(row["image"] for row in rows) == images.names
    expected = clustering(
        network(images.decode(32, 16)),
        num_clusters=5 if stop == "--clusters=5" else None,
        max_distance=0.4 if stop == "--distance=0.4" else None,
    )
    assert [int(row["cluster"]) for row in rows] == expected.labels.tolist()
    np.testing.assert_allclose(
        [float(row["confidence"]) for row in rows],
        expected.standing.confidence,
        atol=6e-5,
    )
    assert f"{expected.num_clusters} clusters" in out
    assert f"about {expected.individuals.number} individuals" in out
    assert "ARI" not in out
    assert (expected.num_clusters == 5) or stop != "--clusters=5"


def test_scores_where_names_tell_identities(cluster):
    code, out, _, rows = cluster("--pattern={identity}_c{camera}*.jpg")
    assert code == 0
    truth = [int(row["image"].rpartition("/")[2][:4]) for row in rows]
    scores = compare(truth, [int(row["cluster"]) for row in rows])
    assert f"against 6 identities: ARI {scores.ari:.3f}" in out
    assert f"recall {scores.pair_recall:.3f}" in out


def test_features_of_any_tool(by_features):
    code, out, err, rows = by_features("--pattern={identity}_c{camera}_*.jpg")
    assert (code, err) == (0, "")
    assert "against 10 identities: ARI 1.000" in out
    assert {row["image"][:2] for row in rows if row["cluster"] == "0"} == {"00"}
    assert all(float(row["confidence"]) > 0.8 for row in rows)


def test_answers_are_kept(by_features, tmp_path):
    pairs = "00_c0_0.jpg,00_c1_1.jpg,no\n00_c0_0.jpg,01_c0_6.jpg,yes\n"
    (tmp_path / "answers.csv").write_text("image,other,same\n" + pairs)
    code, _, _, rows = by_features(f"--answers={tmp_path / 'answers.csv'}")
    of = {row["image"]: row["cluster"] for row in rows}
    assert code == 0
    assert of["00_c0_0.jpg"] != of["00_c1_1.jpg"]
    assert of["00_c0_0.jpg"] == of["01_c0_6.jpg"]


def test_cameras_are_centred_where_they_are_asked_for(by_features):
    shift = 1.5 * np.random.default_rng(1).standard_normal((3, 16))
    random = np.random.default_rng(0)
    truth = np.repeat(np.arange(10), 6)
    rows = random.standard_normal((10, 16))[truth] + shift[np.arange(60) % 3]
    rows += 0.3 * random.standard_normal((60, 16))
    pattern = "--pattern={identity}_c{camera}_*.jpg"

    def ari(*arguments):
        out = by_features(pattern, "--overwrite", *arguments, rows=rows)[1]
        return float(out.partition("ARI ")[2].partition(",")[0])

    assert ari("--use_cameras") > ari() + 0.3


@pytest.mark.parametrize("count", [1, 2, 3])
def test_hardly_any_images(by_features, count):
    code, out, err, rows = by_features(
        names=[f"{i}.jpg" for i in range(count)], rows=np.eye(3)[:count]
    )
    assert (code, err) == (0, "")
    assert f"\n{counted(count, 'image')}, in " in out
    assert len(rows) == count


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--clusters=0"], "clusters is 0: give 1"),
        (["--clusters=25"], "num_clusters=25 of 24 images"),
        (["--distance=-1"], "distance is -1"),
        (["--distance=1.5"], "distance is 1.5: give 0 to 1"),
        (["--clusters=2", "--distance=1"], "not allowed with"),
        (["--clusters=two"], "invalid int value"),
        (["--use_cameras"], "--use_cameras without --pattern"),
        (["--use_cameras", "--pattern={identity}_*"], "tells no camera"),
        (["--names=names.txt"], "--names goes with --features"),
        (["--features=f.npz"], "--features and --checkpoint"),
        (["--answers=none.csv"], "none.csv cannot be read"),
        (["--pattern=cat_{identity}.jpg"], "matches none of 24 images"),
        (["--criterion=min"], "unknown field --criterion"),
    ],
)
def test_refuses(cluster, arguments, message):
    code, _, err, rows = cluster(*arguments)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert rows is None


def test_needs_images_or_features(run_command, tmp_path):
    code, _, err = run_command("cluster", f"--output={tmp_path / 'c.csv'}")
    assert code == 2
    assert "give --checkpoint=RUN and --images=FOLDER, or --features" in err


def test_features_that_are_not_finite_are_refused_by_name(by_features):
    code, _, err, rows = by_features(
        names=["a", "b"], rows=np.array([[1, 0], [np.nan, 1]])
    )
    assert code == 2
    assert "the feature of 'b' is not finite" in err
    assert rows is None


def test_training_writes_clusters_of_its_last_features(trained_run, network):
    images = load_dataset("market1501", data_dir=trained_run.config.data_dir).train
    expected = clustering(network(images.decode(32, 16)))
    rows = _read(trained_run.directory / "clusters.csv")
    assert [row["image"] for row in rows] == list(images.names)
    assert [int(row["cluster"]) for row in rows] == expected.labels.tolist()
    assert trained_run.clusters.tolist() == expected.labels.tolist()
    np.testing.assert_allclose(
        [float(row["confidence"]) for row in rows],
        expected.standing.confidence,
        atol=6e-5,
    )


@pytest.fixture
def table_of_features(by_features, tmp_path):
    """Runs the command with a metadata.csv of the 60 features."""

    def run(rows, *arguments, names=None):
        path = tmp_path / "metadata.csv"
        path.write_text("image_id,path,identity,encounter,cluster\n" + "".join(rows))
        return by_features(f"--pattern={path}", *arguments, names=names)

    return run


def test_all_columns_come_back_with_what_is_suggested(table_of_features):
    names = [f"{i:02}_{k}.jpg" for i in range(10) for k in range(6)]
    # Of each of the first eight individuals two images are known.
    rows = [
        f"{n},{name},{f'owl{n // 6}' if n < 48 and n % 6 < 2 else 'unknown'},,mine\n"
        for n, name in enumerate(names)
    ]
    code, out, err, written = table_of_features(rows, names=names)
    assert (code, err) == (0, "")
    assert list(written[0]) == [
        *("image", "cluster", "confidence", "nearest_cluster"),
        *("suggested_identity", "new_individual"),
        *("image_id", "path", "identity", "encounter", "table_cluster"),
    ]
    for n, row in enumerate(written):
        assert (row["image"], row["path"]) == (names[n], names[n])
        assert (row["image_id"], row["table_cluster"]) == (str(n), "mine")
        new = n >= 48
        said = "" if new else f"owl{n // 6}"
        assert (row["suggested_identity"], row["new_individual"]) == (
            said,
            "yes" if new else "no",
        )
    assert "8 clusters hold somebody known (suggested_identity); 12 images in 2" in out


def test_its_own_table_is_read_again_and_again(by_features, tmp_path):
    names = [f"{n:02}.jpg" for n in range(60)]
    table = tmp_path / "lab.csv"
    lines = [f"{name},owl{n // 6},{n}" for n, name in enumerate(names)]
    table.write_text("\n".join(["image,identity,cluster", *lines]))
    for turn in range(4):
        code, _, err, rows = by_features(f"--pattern={table}", names=names)
        assert (code, err) == (0, "")
        table = tmp_path / f"{turn}.csv"
        (tmp_path / "clusters.csv").rename(table)
        header = table.read_text().partition("\n")[0].split(",")
        assert len(set(header)) == len(header) == 4 + 3 + 4 * turn
        for n, row in enumerate(rows):  # the first table's columns keep their names
            assert row["table_image"] == row["image"] == names[n]
            assert (row["identity"], row["table_cluster"]) == (f"owl{n // 6}", str(n))


def test_images_of_one_encounter_are_kept_together(table_of_features):
    names = [f"{i:02}_{k}.jpg" for i in range(10) for k in range(6)]
    # Each encounter holds the k-th image of two individuals: as no features say.
    rows = [f"{n},{name},,e{n // 12}_{n % 6},\n" for n, name in enumerate(names)]
    code, out, _, written = table_of_features(rows, names=names)
    assert code == 0
    assert "60 images are of 30 tracks, each kept together" in out
    for n in range(60):
        if n % 12 < 6:
            assert written[n]["cluster"] == written[n + 6]["cluster"]
    _, out, _, alone = table_of_features(
        rows, "--ignore_tracks", "--overwrite", names=names
    )
    assert "tracks" not in out.splitlines()[-3]
    assert alone[0]["cluster"] != alone[6]["cluster"]
    assert "suggested_identity" not in alone[0]  # nobody is known


def test_boxes_of_one_picture_are_kept_apart(by_features):
    # Two images of one individual, said to be cut from one picture.
    names = [f"{n}.jpg" for n in range(60)]
    names[0], names[1] = "p.jpg#0,0,5,9", "p.jpg#5,0,9,9"
    code, out, _, rows = by_features(names=names)
    assert code == 0
    assert "1 pairs were seen in one picture and are kept apart" in out
    assert rows[0]["cluster"] != rows[1]["cluster"]


@pytest.fixture
def known_file(tmp_path):
    """A clusters.csv of the first 48 of 60 images, in clusters of its own names."""
    path = tmp_path / "known.csv"
    names = [
        f"{i:02}_c{row % 3}_{row}.jpg" for row, i in enumerate(np.repeat(range(10), 6))
    ]
    rows = [
        f"{name},{'7' if n < 6 else f'k{n // 6}'},0.9,,{'Ada' if n < 6 else ''}"
        for n, name in enumerate(names)
        if n % 6 < 4 and n < 48
    ]
    path.write_text("\n".join(["image,cluster,confidence,nearest_cluster,name", *rows]))
    return path


def test_new_images_beside_known_clusters(by_features, known_file):
    code, out, err, rows = by_features(f"--known={known_file}")
    assert (code, err) == (0, "")
    said = [row["cluster"] for row in rows]
    for n in range(48):  # the two new images of each are put to the four known ones
        assert said[n] == ("7" if n < 6 else f"k{n // 6}")
        assert rows[n]["name"] == ("Ada" if n < 6 else "")
    assert set(said[48:54]) == {"8"}  # the next number that nobody has
    assert set(said[54:]) == {"9"}
    assert {row["nearest_cluster"] for row in rows} <= {*said, ""}
    assert (
        "32 images of 8 known clusters stay; of 28 new images 16 are put into 8 of "
        "them, 12 into 2 new ones"
    ) in out


def test_new_clusters_have_numbers_of_their_own_beside_floats(by_features, known_file):
    text = known_file.read_text().replace(",7,", ",k0,")
    known_file.write_text(re.sub(r",k([0-9])", r",\1.0", text))
    code, out, err, rows = by_features(f"--known={known_file}")
    assert (code, err) == (0, "")
    said = [row["cluster"] for row in rows]
    assert said[:48] == [str(n // 6) for n in range(48)]
    assert (set(said[48:54]), set(said[54:])) == ({"8"}, {"9"})
    assert "are whole numbers saved with a point: '0.0' is '0' now" in out


def test_known_images_with_features_of_their_own(by_features, known_file, tmp_path):
    by_features()
    with np.load(tmp_path / "f.npz") as file:
        names, features = file["names"], file["features"]
    old = np.array([n % 6 < 4 and n < 48 for n in range(60)])
    np.savez(tmp_path / "old.npz", names=names[old], features=features[old])
    flags = (f"--known={known_file}", "--overwrite")
    code, _, err, _ = by_features(*flags, names=names[~old], rows=features[~old])
    assert code == 2
    assert "32 of 32 images of" in err
    assert "give --known_features=FILE" in err
    code, out, _, rows = by_features(
        *flags,
        f"--known_features={tmp_path / 'old.npz'}",
        names=names[~old],
        rows=features[~old],
    )
    assert code == 0
    assert "of 28 new images 16 are put into 8" in out
    assert "old.npz does not say of which network: taken as of the same one" in out
    assert [row["image"] for row in rows] == [*names[old], *names[~old]]
    np.savez(tmp_path / "old.npz", names=names[old], features=features[old][:, :9])
    code, _, err, _ = by_features(
        *flags,
        f"--known_features={tmp_path / 'old.npz'}",
        names=names[~old],
        rows=features[~old],
    )
    assert code == 2
    assert "has 9 numbers an image and the new images 16: embed both" in err
    run = '{{"identity": "{}"}}'
    for name, x, who in (
        ("old", features[old], "aaaaaaaab"),
        ("f", features[~old], "c"),
    ):
        np.savez(
            tmp_path / f"{name}.npz",
            names=names[old if name == "old" else ~old],
            features=x,
            run=np.array(run.format(who)),
        )
    with pytest.raises(InputError, match="is of network aaaaaaaa and the new images'"):
        beside_known(
            read_features(tmp_path / "f.npz"), known_file, tmp_path / "old.npz"
        )


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--known_features=x.npz"], "--known_features without --known"),
        (["--known=k.csv", "--clusters=4"], "--clusters with --known"),
        (["--known=nothing.csv"], "nothing.csv cannot be read"),
    ],
)
def test_known_flags_that_do_not_go_together(by_features, flags, says):
    code, _, err, _ = by_features(*flags)
    assert code == 2
    assert says in err


def test_nothing_new_beside_known_clusters(by_features, tmp_path):
    by_features()
    code, _, err, _ = by_features(
        f"--known={tmp_path / 'clusters.csv'}", f"--output={tmp_path / 'again.csv'}"
    )
    assert code == 2
    assert "all 60 images are in" in err


def test_boxes_of_the_table_that_have_no_features_are_told(by_features, tmp_path):
    names = [f"{n}.jpg" for n in range(60)]
    table = tmp_path / "boxes.csv"
    rows = ['0.jpg,"[0,0,4,4]"', '0.jpg,"[4,0,4,4]"', *(f"{n}," for n in names[1:])]
    table.write_text("image,bbox\n" + "\n".join(rows))
    code, out, _, written = by_features(f"--pattern={table}", names=names)
    assert code == 0
    assert "2 boxes of the table have no features, such as '0.jpg#0,0,4,4'" in out
    assert len(written) == 60
