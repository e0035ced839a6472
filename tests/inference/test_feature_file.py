"""Features of any tool: names and rows, however they were saved."""

import numpy as np
import pytest

from fgu_jax.errors import InputError
from fgu_jax.inference.feature_file import read_features

NAMES = np.array(["b_c1.jpg", "a_c2.jpg", "a_c1.jpg"])
ROWS = np.array([[3.0, 4], [0, -2], [1e-200, 0]])
UNIT = [[0.6, 0.8], [0, -1], [1, 0]]


def _npz(folder, **arrays):
    np.savez(folder / "f.npz", **arrays)
    return folder / "f.npz"


@pytest.mark.parametrize(
    "arrays",
    [
        {"names": NAMES, "features": ROWS},
        {"paths": NAMES, "embeddings": ROWS, "epoch": np.array(3)},
        {"whatever": NAMES.astype("S"), "else": ROWS},
        {"names": NAMES, "features": ROWS, "ids": np.arange(3), "x": ROWS},
    ],
)
def test_keys_of_other_tools(tmp_path, arrays):
    found = read_features(_npz(tmp_path, **arrays))
    assert found.names == tuple(NAMES)
    assert found.features.dtype == np.float32
    np.testing.assert_allclose(found.features, UNIT, rtol=1e-6)
    assert found.labels is None


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int8])
def test_other_numbers(tmp_path, dtype):
    rows = np.array([[3, 4], [0, -2], [1, 0]], dtype)
    found = read_features(_npz(tmp_path, names=NAMES, features=rows))
    np.testing.assert_allclose(found.features, UNIT, rtol=1e-6)


def test_whole_numbers_are_names_only_where_they_are_called_so(tmp_path):
    numbers = np.array([7, 8, 9])
    found = read_features(_npz(tmp_path, image_ids=numbers, features=ROWS))
    assert found.names == ("7", "8", "9")
    np.save(tmp_path / "names.npy", numbers)
    path = _npz(tmp_path, features=ROWS, labels=np.array([0, 0, 1]))
    assert read_features(path, tmp_path / "names.npy").names == ("7", "8", "9")
    says = (
        r"holds no names \(it has features float64\[3, 2\], labels int64\[3\]\): save"
    )
    with pytest.raises(InputError, match=says):
        read_features(path)
    beside = _npz(tmp_path, labels=numbers, files_seen=NAMES, features=ROWS)
    assert read_features(beside).names == tuple(NAMES)


def test_an_array_beside_a_list_of_names(tmp_path):
    np.save(tmp_path / "f.npy", ROWS)
    (tmp_path / "names.txt").write_text("\ufeff" + "\r\n".join(NAMES) + "\r\n")
    np.save(tmp_path / "names.npy", NAMES)
    for names in ("names.txt", "names.npy"):
        found = read_features(tmp_path / "f.npy", tmp_path / names)
        assert found.names == tuple(NAMES)


def test_labels_by_the_names(tmp_path):
    path = _npz(tmp_path, names=[*NAMES, "other"], features=[*ROWS, [1, 1]])
    found = read_features(path, pattern="{identity}_c{camera}.jpg")
    assert found.labels.identities.tolist() == [2, 1, 1, -1]
    assert found.labels.cameras.tolist() == [1, 2, 1, 0]
    assert "1 names that the pattern" in found.notes[-1]
    table = tmp_path / "table.csv"
    table.write_text("image,identity\na_c1.jpg,x\na_c2.jpg,y\n")
    found = read_features(path, table=table)
    assert found.labels.identities.tolist() == [-1, 2, 1, -1]
    assert found.labels.cameras is None


def test_labels_of_names_that_windows_wrote(tmp_path):
    names = ["C:\\x\\b_c1.jpg", "x\\a_c2.jpg", "x/y\\a_c1.jpg"]
    path = _npz(tmp_path, names=names, features=ROWS)
    found = read_features(path, pattern="{identity}_c{camera}.jpg")
    assert found.names == tuple(names)
    assert found.identity_names == ("a", "b")
    assert found.labels.identities.tolist() == [2, 1, 1]
    assert found.notes == (
        "3 names are read with / for \\, as of Windows, such as 'C:\\x\\b_c1.jpg'",
    )
    table = tmp_path / "table.csv"
    for listed in (NAMES, names):
        lines = [f"{name},{who}\n" for name, who in zip(listed, "xyy", strict=True)]
        table.write_text("image,identity\n" + "".join(lines))
        found = read_features(path, table=table)
        assert found.labels.identities.tolist() == [1, 2, 2]
        assert found.columns[names[0]]["image"] == listed[0]


def test_a_backslash_that_would_make_two_names_one_is_a_letter(tmp_path):
    names = ["x\\a_c1.jpg", "x/a_c1.jpg", "b_c1.jpg"]
    path = _npz(tmp_path, names=names, features=ROWS)
    found = read_features(path, pattern="{identity}_c{camera}.jpg")
    assert found.identity_names == ("a", "b", "x\\a")


def _with(row, value):
    rows = ROWS.copy()
    rows[row] = value
    return rows


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"features": ROWS}, r"holds no names \(it has features float64\[3, 2\]\)"),
        ({"names": NAMES}, "holds no features"),
        ({"names": NAMES[[0, 1, 0]], "features": ROWS}, "1 of 2 names come more than"),
        ({"names": NAMES[:2], "features": ROWS}, "3 rows of features and 2 names"),
        (
            {"names": NAMES, "features": _with(1, np.nan)},
            "the feature of 'a_c2.jpg' is not finite: leave",
        ),
        (
            {"names": NAMES, "features": _with([0, 2], 0)},
            r"the feature of 'b_c1.jpg' \(and of 1 more\) is all 0",
        ),
        ({"names": NAMES, "a": ROWS, "b": ROWS}, "several arrays that may be the feat"),
        ({"names": NAMES, "features": ROWS[0]}, "holds no features"),
        ({"names": NAMES, "features": np.zeros((3, 0))}, "give numbers"),
        ({"names": NAMES.astype(object), "features": ROWS}, "Python objects"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path, arrays, says):
    with pytest.raises(InputError, match=says) as refused:
        read_features(_npz(tmp_path, **arrays))
    assert "\n" not in str(refused.value)


def test_what_is_no_file_of_features(tmp_path):
    with pytest.raises(InputError, match="is not there"):
        read_features(tmp_path / "none.npz")
    (tmp_path / "f.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(
        InputError, match="no whole .npz or .npy file .*: save features"
    ):
        read_features(tmp_path / "f.npz")
    (tmp_path / "f.txt").write_text("hello")
    with pytest.raises(
        InputError, match="f.txt is no whole .* begins otherwise"
    ) as said:
        read_features(tmp_path / "f.txt")
    assert str(said.value).count("f.txt") == 1
    (tmp_path / "names.txt").write_text("a\n\nb\n")
    np.save(tmp_path / "f.npy", ROWS)
    with pytest.raises(InputError, match="line 2: no name"):
        read_features(tmp_path / "f.npy", tmp_path / "names.txt")
