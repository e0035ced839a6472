"""Pictures of a review: found by the names that features have, shown as they are."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from fgu_jax import reviewing
from fgu_jax.clustering import Question
from fgu_jax.data import load_dataset
from fgu_jax.data.thumbnail import taken_on, thumbnail
from fgu_jax.errors import InputError
from fgu_jax.reviewing.pictures import write_thumbnails
from fgu_jax.runs.answers import NONE


def encoded(size=(40, 20), **options):
    out = io.BytesIO()
    Image.new("RGB", size, (10, 200, 30)).save(out, "JPEG", **options)
    return out.getvalue()


def dated(**tags):
    exif = Image.Exif()
    if "changed" in tags:
        exif[0x0132] = tags["changed"]
    if "taken" in tags:
        exif.get_ifd(0x8769)[0x9003] = tags["taken"]
    return encoded(exif=exif)


@pytest.fixture
def images(tmp_path):
    root = tmp_path / "photos"
    for name in ("a/1.jpg", "a/2.jpg", "b/1.jpg", "b/é 3.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(encoded())
    (root / "b" / "é 3.jpg").write_bytes(dated(taken="2026:11:29 08:30:00"))
    return load_dataset("folder", data_dir=root).train


def test_names_are_paths_or_the_end_of_one(images):
    names = ["a/1.jpg", "/elsewhere/b/e\u0301 3.jpg", "2.jpg", "photos/b/1.jpg"]
    found, told = reviewing.pictures(images, names, "photos")
    assert found.names == ("a/1.jpg", "b/é 3.jpg", "a/2.jpg", "b/1.jpg")
    assert told == [
        "3 of 4 names are taken by the end of their path, such as "
        f"{names[1]!r} for 'b/é 3.jpg'"
    ]
    names = ["a/1.jpg", "b/e\u0301 3.jpg", "a\\2.jpg", "C:\\x\\b\\1.jpg"]
    again, told = reviewing.pictures(images, names, "photos")
    assert again.names == found.names
    assert told[0].startswith("1 of 4 names")


def test_a_name_that_states_another_folder_is_no_image(images):
    says = "2 of 3 names are no image of photos, such as 'c/2.jpg'"
    names = ["c/2.jpg", "C:\\photos\\2.jpg", "a/1.jpg"]
    with pytest.raises(InputError, match=says):
        reviewing.pictures(images, names, "photos")


def test_two_names_of_one_picture_are_refused(images):
    says = "'a/2.jpg' and '/else/a/2.jpg' would both be 'a/2.jpg' of photos: name the"
    with pytest.raises(InputError, match=says):
        reviewing.pictures(images, ["a/2.jpg", "/else/a/2.jpg"], "photos")


def test_names_of_no_image_or_of_several_are_refused(images):
    says = r"2 of 3 names are no image of photos, such as '1.jpg' \(it holds '"
    with pytest.raises(InputError, match=says):
        reviewing.pictures(images, ["1.jpg", "9.jpg", "2.jpg"], "photos")


def test_the_date_is_when_it_was_taken():
    taken = "2026:11:29 08:30:00"
    assert taken_on(dated(taken=taken, changed="2027:01:01 00:00:00")) == (
        "2026-11-29 08:30:00"
    )
    assert taken_on(dated(changed="2025:02:03 04:05:06")) == "2025-02-03 04:05:06"
    assert taken_on(dated(taken="2025:02:03")) == "2025-02-03"
    for nothing in (
        dated(taken="0000:00:00 00:00:00"),
        dated(taken="<b>soon</b>"),
        encoded(),
        encoded(exif=b"Exif\0\0no such thing"),
        b"",
        b"no picture",
    ):
        assert taken_on(nothing) == ""


def test_a_box_is_cropped():
    image = Image.new("RGB", (400, 300))
    image.paste((250, 0, 0), (100, 50, 200, 250))
    out = io.BytesIO()
    image.save(out, "PNG")
    shown = Image.open(io.BytesIO(thumbnail(out.getvalue(), box=(100, 50, 200, 250))))
    assert shown.size == (100, 200)
    assert np.asarray(shown)[..., 0].min() > 200
    small = thumbnail(out.getvalue(), box=(100, 50, 200, 250), longest=50)
    assert Image.open(io.BytesIO(small)).size == (25, 50)


def test_what_cannot_be_read_is_grey_and_told(images, tmp_path):
    (tmp_path / "photos" / "a" / "1.jpg").write_bytes(b"cut")
    (tmp_path / "photos" / "a" / "2.jpg").unlink()
    (tmp_path / "out").mkdir()
    shown = write_thumbnails(tmp_path / "out", images, None)
    bad = {n: s.trouble for n, s in zip(images.names, shown, strict=True) if s.trouble}
    assert set(bad) == {"a/1.jpg", "a/2.jpg"}
    assert "No such file" in bad["a/2.jpg"]
    dates = {n: s.date for n, s in zip(images.names, shown, strict=True) if s.date}
    assert dates == {"b/é 3.jpg": "2026-11-29 08:30:00"}
    for picture in shown:
        with Image.open(tmp_path / "out" / picture.file) as small:
            assert small.size == ((1, 1) if picture.trouble else (40, 20))


def test_the_page_and_its_record(images, tmp_path):
    review = reviewing.Review(
        names=images.names,
        labels=np.array([0, 0, 1, 1]),
        questions=[Question(0, 2, False, (2, 2), ((1,), (3,)), 0.25, 1.5)],
        typical=np.array([0, 2]),
        alike=[[1], [0]],
        answers=NONE,
        cameras=["", "1", "2", ""],
        about="{{data}} <b>",
        command="cluster.py",
    )
    output = tmp_path / "out"
    output.mkdir()
    assert not reviewing.is_review(output)
    reviewing.write_review(output, review, images)
    assert reviewing.is_review(output)
    record = json.loads((output / "questions.json").read_text())
    assert record["questions"] == [
        {
            "image": images.names[0],
            "other": images.names[2],
            "within": False,
            "sides": [2, 2],
            "similarity": 0.25,
            "change": 1.5,
        }
    ]
    page = (output / "index.html").read_text()
    assert "{{data}} &lt;b&gt;" in page
    data = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    assert [image[0] for image in data["images"]] == list(images.names)
    assert data["questions"] == [[0, 2, 0, 2, 2, [1], [3]]]
    # Reading that folder of images again leaves the page's pictures out.
    (output / "own.jpg").write_bytes(encoded())
    assert not reviewing.is_review(output)
