"""review.py: what it takes, what it refuses, and the loop with cluster.py."""

import csv
import html
import json
import shlex
import shutil

import numpy as np
import pytest

from fgu_jax.data import load_dataset
from fgu_jax.runs.clusters import read_clusters


@pytest.fixture
def features(photos, tmp_path):
    """Of the pictures, by number; near by identity, and by camera."""
    names = load_dataset("folder", data_dir=photos).train.names
    random = np.random.default_rng(0)
    of = [int(name.rpartition("/")[2][:4]) for name in names]
    rows = random.standard_normal((100, 16))[of] + 0.9 * random.standard_normal(
        (len(names), 16)
    )
    path = tmp_path / "features.npz"
    np.savez(path, names=[name.rpartition("/")[2] for name in names], features=rows)
    return path


@pytest.fixture
def review(run_command, photos, tmp_path):
    def run(*arguments, images=True):
        output = tmp_path / "page"
        given = [f"--images={photos}"] if images else []
        code, out, err = run_command("review", *given, f"--output={output}", *arguments)
        page = output / "index.html"
        data = None
        if page.exists():
            text = page.read_text().partition('id="data">')[2].partition("</script>")[0]
            data = json.loads(text)
        return code, out, err, data

    return run


def test_of_features_with_cameras(review, features, tmp_path):
    pattern = "--pattern={identity}_c{camera}*.jpg"
    code, out, err, data = review(f"--features={features}", pattern, "--use_cameras")
    assert (code, err) == (0, "")
    assert f"{len(data['questions'])} questions, " in out
    assert str(tmp_path / "page" / "index.html") in out
    assert {image[2] for image in data["images"]} == {"1", "2"}
    assert sum(data["sizes"]) == len(data["labels"]) == 24
    for place, (name, _, camera, _) in enumerate(data["images"]):
        assert f"_c{camera}" in name
        assert (tmp_path / "page" / "thumbnails" / f"{place:06}.jpg").exists()
    code, _, err, _ = review(f"--features={features}")
    assert code == 2
    assert "page exists: add --overwrite" in err
    assert review(f"--features={features}", "--overwrite", "--questions=3")[0] == 0


def test_images_without_features_are_told(review, features, photos, tmp_path):
    with np.load(features) as found:
        few = tmp_path / "few.npz"
        np.savez(few, names=found["names"][1:], features=found["features"][1:])
        left = found["names"][0]
    code, out, _, data = review(f"--features={few}")
    assert code == 0
    assert "1 of 24 images are not on the page" in out
    assert str(left) in out
    assert len(data["images"]) == 23


def test_cameras_have_their_own_names(review, features, photos, tmp_path):
    names = load_dataset("folder", data_dir=photos).train.names
    table = tmp_path / "table.csv"
    called = {"1": "north gate", "2": "river"}
    rows = [f"{name},{called[name.partition('_c')[2][0]]}" for name in names]
    table.write_text("image,camera\n" + "\n".join(rows) + "\n")
    code, _, err, data = review(f"--features={features}", f"--pattern={table}")
    assert (code, err) == (0, "")
    for name, _, camera, _ in data["images"]:
        assert camera == called[name.partition("_c")[2][0]]


def test_of_a_network_and_of_its_own_images(review, trained_run):
    run = f"--checkpoint={trained_run.directory}"
    code, _, err, data = review(run)
    assert (code, err, len(data["images"])) == (0, "", 24)
    code, _, err, data = review(run, "--overwrite", "--part=global", images=False)
    assert (code, err) == (0, "")
    names = load_dataset("market1501", data_dir=trained_run.config.data_dir).train.names
    assert [image[0] for image in data["images"]] == list(names)


def test_of_a_table_alone_and_with_features(review, features, run_command, tmp_path):
    clusters = tmp_path / "clusters.csv"
    made = run_command("cluster", f"--features={features}", f"--output={clusters}")
    assert made[0] == 0
    table = read_clusters(clusters)
    code, _, err, data = review(f"--clusters={clusters}")
    assert (code, err) == (0, "")
    assert data["labels"] == table.clusters.tolist()
    assert data["questions"]
    code, _, err, more = review(
        f"--clusters={clusters}", f"--features={features}", "--overwrite"
    )
    assert (code, err) == (0, "")
    assert more["labels"] == table.clusters.tolist()
    assert more["questions"] != data["questions"]


def test_the_loop(review, features, run_command, tmp_path):
    """The page's questions are answered by the truth, and clustered with, twice."""
    answers, clusters = tmp_path / "answers.csv", tmp_path / "clusters.csv"
    lines = ["image,other,same,name"]
    aris = []
    for _ in range(3):
        answers.write_text("\n".join(lines) + "\n")
        given = (f"--features={features}", f"--answers={answers}", "--overwrite")
        pattern = "--pattern={identity}_*.jpg"
        code, out, err = run_command("cluster", *given, pattern, f"--output={clusters}")
        assert (code, err) == (0, "")
        assert f"by {len(lines) - 1} answers: " in out
        assert "ARI" in out.partition(" answers: ")[2]
        aris.append(float(out.partition("ARI ")[2].partition(",")[0]))
        of = {row["image"]: row["cluster"] for row in _rows(clusters)}
        for image, other, same in (line.split(",")[:3] for line in lines[1:]):
            assert (of[image] == of[other]) == (same == "yes")
        code, _, err, data = review(*given, "--questions=8")
        assert (code, err) == (0, "")
        assert len(data["given"]) == len(lines) - 1
        for a, b, *_ in data["questions"]:
            pair = [data["images"][row][0] for row in (a, b)]
            same = "yes" if pair[0][:4] == pair[1][:4] else "no"
            lines.append(f"{pair[0]},{pair[1]},{same},")
    assert aris[-1] > aris[0]


def _said_on(page):
    """The command that the page shows, as it is copied."""
    code = page.read_text().partition("<code>")[2].partition("</code>")[0]
    assert "<" not in code
    return shlex.split(html.unescape(code))


def test_the_pages_command_works_as_it_stands(
    review, features, photos, run_command, tmp_path, monkeypatch
):
    """With blanks, quotes and signs of the shell in what was given."""
    own = tmp_path / "my  photos & <b>'s"
    shutil.copytree(photos, own)
    rows = tmp_path / "a $HOME.npz"
    features.rename(rows)
    pattern = "{identity}_c{camera}*.jpg"
    given = (f"--features={rows}", f"--images={own}", "--use_cameras")
    code, _, err, _ = review(*given, f"--pattern={pattern}", images=False)
    assert (code, err) == (0, "")
    page = tmp_path / "page" / "index.html"
    name, *flags = _said_on(page)
    assert name == "cluster.py"
    assert flags == [
        *(f"--features={rows}", f"--pattern={pattern}", "--use_cameras"),
        *("--answers=answers.csv", "--output=clusters.csv"),
    ]
    names = [str(name) for name in np.load(rows)["names"]]
    table = own / "a table.csv"
    table.write_text("image,camera\n" + "".join(f"{n},{n[6]}\n" for n in names))
    # A table that was found among the images, which features alone do not name.
    code, _, err, _ = review(
        *given, "--pattern=a table.csv", "--overwrite", images=False
    )
    assert (code, err) == (0, "")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "answers.csv").write_text(f"image,other,same\n{names[0]},{names[1]},no")
    code, _, err = run_command("cluster", *_said_on(page)[1:])
    assert (code, err) == (0, "")
    assert (tmp_path / "clusters.csv").exists()


def test_the_pages_command_names_the_images_of_a_network(
    review, trained_run, photos, tmp_path
):
    own = tmp_path / "my photos"
    shutil.copytree(photos, own)
    (own / "cut.jpg").write_bytes(b"\xff\xd8\xff")
    run = f"--checkpoint={trained_run.directory}"
    code, _, err, _ = review(run, f"--images={own}", "--skip_bad", images=False)
    assert (code, err) == (0, "")
    assert _said_on(tmp_path / "page" / "index.html")[1:] == [
        *(run, f"--images={own}", "--skip_bad"),
        *("--answers=answers.csv", "--output=clusters.csv"),
    ]


def _rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_what_changed_is_told(run_command, tmp_path):
    """Two clear groups of three, of which one image is said to be of the other."""
    features, answers = tmp_path / "f.npz", tmp_path / "answers.csv"
    rows = np.repeat(np.eye(2), 6, axis=0) + 0.1 * np.eye(12, 2)[::-1]
    np.savez(features, names=[f"{i}.jpg" for i in range(12)], features=rows)
    answers.write_text(
        "image,other,same\n0.jpg,1.jpg,yes\n0.jpg,6.jpg,yes\n8.jpg,9.jpg,no\n"
    )
    given = (f"--features={features}", f"--output={tmp_path / 'c.csv'}", "--overwrite")
    said = run_command("cluster", *given)[1]
    assert "2 clusters" in said
    assert "answers" not in said
    code, said, err = run_command("cluster", *given, f"--answers={answers}")
    assert (code, err) == (0, "")
    assert "by 3 answers: 1 joined two clusters, 1 parted one, 1 held already" in said
    assert "2 clusters are now " in said


def test_names_come_out_with_the_clusters(features, run_command, tmp_path):
    names = [str(name) for name in np.load(features)["names"]]
    answers, clusters = tmp_path / "answers.csv", tmp_path / "clusters.csv"
    answers.write_text(
        f"image,other,same,name\n{names[0]},,,Ada\n{names[1]},,,Ada\n{names[2]},,,Bob\n"
    )
    code, out, err = run_command(
        "cluster",
        f"--features={features}",
        f"--answers={answers}",
        f"--output={clusters}",
    )
    assert (code, err) == (0, "")
    assert "; named: 2" in out
    rows = {row["image"]: row for row in _rows(clusters)}
    assert [rows[name]["name"] for name in names[:3]] == ["Ada", "Ada", "Bob"]
    assert rows[names[0]]["cluster"] == rows[names[1]]["cluster"]
    assert rows[names[0]]["cluster"] != rows[names[2]]["cluster"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give --clusters=clusters.csv, --features=FILE.npz or --checkpoint=RUN"),
        (["--features=f.npz", "--checkpoint=run"], "--features and --checkpoint"),
        (["--clusters=50"], "--clusters=50 is a number: name a clusters.csv"),
        (["--clusters=c.csv", "--distance=0.5"], "--clusters and --distance"),
        (["--clusters=c.csv", "--names=n.txt"], "--names goes with --features"),
        (["--features=f.npz", "--part=local"], "--part goes with --checkpoint"),
        (["--features=f.npz", "--use_cameras"], "--use_cameras needs"),
        (["--features=f.npz", "--distance=2"], "distance is 2.0: give 0 to 1"),
        (["--features=f.npz", "--questions=0"], "questions is 0: give 1 or more"),
        (["--features=none.npz"], "none.npz is not there"),
        (["--clusters=none.csv"], "none.csv cannot be read"),
        (["--claster=c.csv"], "unknown field --claster: did you mean --clusters?"),
    ],
)
def test_refuses(review, arguments, says):
    code, _, err, data = review(*arguments)
    assert code == 2
    assert says in err
    assert err.count("\n") == 1
    assert data is None


def test_refuses_what_does_not_belong_together(review, features, photos, tmp_path):
    def refused(*arguments, **more):
        code, _, err, data = review(*arguments, **more)
        assert (code, err.count("\n"), data) == (2, 1, None)
        return err

    given = f"--features={features}"
    assert "no --images" in refused(given, images=False)
    assert "is not a folder" in refused(given, "--images=nowhere")
    assert "lie in one another" in refused(given, f"--output={photos / 'page'}")
    table = tmp_path / "clusters.csv"
    table.write_text("image,cluster\na.jpg,0\n")
    err = refused(f"--clusters={table}")
    assert "1 of 1 names are no image of" in err
    err = refused(given, f"--clusters={table}")
    assert "has 1 images, and 24 of 24 are not among them" in err
    answers = tmp_path / "answers.csv"
    answers.write_text("image,other,same\na.jpg,b.jpg,yes\n")
    assert "line 2: no image 'a.jpg'" in refused(given, f"--answers={answers}")
    other = tmp_path / "page"
    other.mkdir()
    (other / "mine.txt").write_text("")
    assert "holds other files" in refused(given, "--overwrite")
    assert (other / "mine.txt").exists()


def test_tracks_are_asked_about_as_they_are_clustered(
    review, features, run_command, tmp_path, photos
):
    names = load_dataset("folder", data_dir=photos).train.names
    np.savez(features, names=names, features=np.load(features)["features"])
    table, clusters = tmp_path / "table.csv", tmp_path / "clusters.csv"
    of = {name: name.rpartition("/")[2][:4] for name in names}
    lines = [f"{name},{of[name]}{k % 2}" for k, name in enumerate(sorted(names))]
    table.write_text("image,track\n" + "\n".join(lines))
    track = dict(line.split(",") for line in lines)
    given = (f"--features={features}", f"--pattern={table}")
    code, _, err = run_command("cluster", *given, f"--output={clusters}")
    assert (code, err) == (0, "")
    code, out, err, data = review(*given)
    assert (code, err) == (0, "")
    assert "24 images are of " in out
    assert data["labels"] == read_clusters(clusters).clusters.tolist()
    for a, b, *_ in data["questions"]:
        one, other = (data["images"][row][0] for row in (a, b))
        assert track[one] != track[other]
    code, out, err, data = review(*given, "--ignore_tracks", "--overwrite")
    assert (code, err) == (0, "")
    assert "are of" not in out
    # An answer against a track is refused by the names.
    first = names[0]
    mate = next(n for n in names[1:] if track[n] == track[first])
    answers = tmp_path / "answers.csv"
    answers.write_text(f"image,other,same\n{first},{mate},no\n")
    code, _, err = run_command(
        "cluster", *given, f"--answers={answers}", f"--output={clusters}", "--overwrite"
    )
    assert code == 2
    assert f"the answers keep '{first}' and '{mate}' apart, which are of one" in err
