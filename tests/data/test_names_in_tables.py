"""Names that a table gives to images in other folders: one image, or none."""

import pytest
from drawn_trees import put, who

from fgu_jax.data import load_dataset
from fgu_jax.errors import InputError


@pytest.fixture
def sites(tmp_path):
    root = tmp_path / "sites"
    for k in range(8):
        put(root / ("north" if k < 4 else "south") / f"{k:03d}_c1.png", k // 2)
    return root


def load(tree, names, identity="fox"):
    path = tree.parent / "labels.csv"
    lines = (f"{name},{identity}{k // 2}\n" for k, name in enumerate(names))
    path.write_text("image,identity\n" + "".join(lines))
    return load_dataset("folder", data_dir=tree, table=path)


def test_bare_names_are_found_in_whatever_folder_they_are(sites):
    data = load(sites, [f"{k:03d}_c1.png" for k in range(8)])
    assert who(data.train, data.train_labels, data.identity_names) == {
        f"{'north' if k < 4 else 'south'}/{k:03d}_c1.png": f"fox{k // 2}"
        for k in range(8)
    }
    assert data.reading.notes == (
        "4 paths of the table are taken below 'north/'",
        "4 paths of the table are taken below 'south/'",
    )


def test_a_few_bare_names_among_paths_are_found_too(sites):
    data = load(sites, ["north/000_c1.png", "001_c1.PNG", "005_c1.png"])
    assert sorted(data.train_labels.identities.tolist()) == [-1] * 5 + [1, 1, 2]


def test_the_end_of_a_path_is_whole_folders_long(sites):
    put(sites / "far" / "south" / "000_c1.png", 7)
    data = load(sites, ["south/000_c1.png", "outh/005_c1.png"])
    labels = who(data.train, data.train_labels)
    assert labels["far/south/000_c1.png"] == 1
    assert labels["south/005_c1.png"] == -1
    assert any("1 rows of the table name no image" in n for n in data.reading.notes)


def test_a_name_that_fits_several_images_is_none_of_them_and_told(sites):
    for site in ("north", "south"):
        put(sites / site / "IMG_1.png", 9)
    data = load(sites, ["000_c1.png", "IMG_1.png"])
    labels = who(data.train, data.train_labels)
    assert labels["north/IMG_1.png"] == labels["south/IMG_1.png"] == -1
    assert labels["north/000_c1.png"] == 1
    assert (
        "1 rows of the table fit several images and are not taken, such as line 3: "
        "image 'IMG_1.png' ('north/IMG_1.png' and 'south/IMG_1.png'): write their "
        "folders before them"
    ) in data.reading.notes
    assert who(*_of(load(sites, ["north/IMG_1.png"])))["north/IMG_1.png"] == 1


def _of(data):
    return data.train, data.train_labels


def test_a_table_of_names_that_all_fit_several_images_is_refused(sites):
    for site in ("north", "south"):
        put(sites / site / "IMG_1.png", 9)
    says = r"line 2: image 'IMG_1.png' \('north/IMG_1.png' and .* fits several images"
    with pytest.raises(InputError, match=says) as caught:
        load(sites, ["IMG_1.png"])
    assert "write their folders before them" in str(caught.value)


def test_a_path_of_the_tree_is_that_image_whatever_ends_with_it(sites):
    put(sites / "IMG_1.png", 8)
    put(sites / "south" / "IMG_1.png", 9)
    labels = who(*_of(load(sites, ["IMG_1.png"])))
    assert (labels["IMG_1.png"], labels["south/IMG_1.png"]) == (1, -1)


def test_a_folder_for_each_individual_is_told_in_one_line(tmp_path):
    for k in range(6):
        put(tmp_path / "foxes" / f"fox{k}" / f"{k}.png", k)
    notes = load(tmp_path / "foxes", [f"{k}.png" for k in range(6)]).reading.notes
    assert notes == (
        "6 paths of the table are taken below 6 folders by their ends, such as below "
        "'fox0/'",
    )
