"""New images beside known clusters: the known ones stay, the new ones are put."""

import numpy as np
import pytest

from fgu_jax.clustering import cluster, clustering, neighbour_graph
from fgu_jax.clustering.known import put_beside
from fgu_jax.clustering.links import in_one, owner_of_groups
from fgu_jax.clustering.merges import tree
from fgu_jax.errors import InputError


@pytest.fixture(scope="module")
def people():
    """30 individuals of 12 images; (features, truth, known): five are all new."""
    random = np.random.default_rng(5)
    truth = np.repeat(np.arange(30), 12)
    features = random.standard_normal((30, 32))[truth]
    features = features + 0.55 * random.standard_normal(features.shape)
    known = np.where((truth < 25) & (np.arange(360) % 12 < 9), truth, -1)
    order = random.permutation(360)
    return features[order], truth[order], known[order]


def test_known_clusters_stay_and_new_images_are_put(people):
    features, truth, known = people
    found = cluster(features, known=known)
    old = known >= 0
    pairs = np.unique(np.stack([found[old], known[old]], 1), axis=0)
    assert len(pairs) == len(np.unique(known[old])) == 25  # one to one
    of = dict(pairs.tolist())
    put = np.array([of.get(cluster_, -1) for cluster_ in found])
    new, of_known = known < 0, truth < 25
    assert np.mean(put[new & of_known] == truth[new & of_known]) >= 0.98
    assert np.mean(put[new & ~of_known] == -1) >= 0.95
    # Those of one new individual are together.
    for who in range(25, 30):
        assert np.bincount(found[truth == who]).max() >= 11


def test_known_clusters_stay_however_bad_they_are(people):
    """A known cluster of two individuals is not torn, nor are two of one joined."""
    features, _, known = people
    mixed = np.where((known == 3) | (known == 4), 3, known)  # two in one
    mixed = np.where((known == 7) & (np.arange(360) % 2 == 0), 40, mixed)  # one in two
    found = cluster(features, known=mixed)
    old = mixed >= 0
    pairs = np.unique(np.stack([found[old], mixed[old]], 1), axis=0)
    assert len(pairs) == len(np.unique(mixed[old])) == len(np.unique(pairs[:, 0]))


def test_as_a_search_by_the_nearest_known_image_does(people):
    features, truth, known = people
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    old, new = np.flatnonzero(known >= 0), np.flatnonzero((known < 0) & (truth < 25))
    nearest = known[old[(unit[new] @ unit[old].T).argmax(axis=1)]]
    found = cluster(features, known=known)
    of = dict(zip(found[old].tolist(), known[old].tolist(), strict=True))
    put = np.array([of.get(int(k), -1) for k in found[new]])
    assert np.mean(put == truth[new]) >= np.mean(nearest == truth[new])


def test_links_are_honoured(people):
    features, truth, known = people
    new = np.flatnonzero((known < 0) & (truth < 25))
    row = new[0]
    own = np.flatnonzero(known == truth[row])[0]
    mate = np.flatnonzero((known < 0) & (truth == truth[row]))[1]
    other = np.flatnonzero(known == (truth[row] + 1) % 25)[0]
    apart = cluster(features, known=known, cannot_link=[(row, own)])
    assert apart[row] != apart[own]
    assert apart[mate] == apart[own]
    two = cluster(features, known=known, cannot_link=[(row, mate)])
    assert two[row] != two[mate]
    moved = cluster(features, known=known, must_link=[(row, other)])
    assert moved[row] == moved[other]
    with pytest.raises(InputError, match="of two known clusters"):
        cluster(features, known=known, must_link=[(own, other)])


def test_tracks_go_as_one(people):
    features, truth, known = people
    rows = np.flatnonzero((known < 0) & (truth == 2))
    tracks = np.zeros(360, int)
    tracks[rows] = 9
    made = clustering(features, known=known, tracks=tracks)
    assert len(set(made.labels[rows])) == 1
    assert made.labels[rows[0]] == made.labels[np.flatnonzero(known == 2)[0]]


class _Counted(np.ndarray):
    """Features that count how often more than half of their rows are copied."""

    copied = 0

    def __getitem__(self, index):
        if isinstance(index, np.ndarray) and len(index) > len(self) / 2:
            _Counted.copied += 1
        return super().__getitem__(index)


def test_the_known_features_are_copied_once(people, monkeypatch):
    """Not for each block of new images, nor for each that a cannot-link turns away."""
    features, truth, known = people
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    new, old = np.flatnonzero((known < 0) & (truth < 25)), np.flatnonzero(known >= 0)
    own = [np.flatnonzero(known == truth[row])[0] for row in new[:9]]
    apart = np.stack([new[:9], own], axis=1)
    monkeypatch.setattr("fgu_jax.clustering.known._BLOCK", 20)
    graph = neighbour_graph(unit)
    links = np.empty((0, 2), int), apart
    found = tree(graph, max_distance=0.9, cannot_link=apart, known=known)
    labels = found.after(len(found.first))
    put = put_beside(unit.view(_Counted), graph, labels, known, links)
    assert _Counted.copied == 1
    assert (put[apart[:, 0]] != put[apart[:, 1]]).all()
    assert len(np.unique(put[old])) == 25


def test_nothing_known_is_no_other_clustering(people):
    features = people[0]
    none = np.full(360, -1)
    np.testing.assert_array_equal(cluster(features, known=none), cluster(features))


def test_a_number_of_clusters_is_refused(people):
    features, _, known = people
    with pytest.raises(InputError, match="give max_distance"):
        cluster(features, known=known, num_clusters=40)
    with pytest.raises(InputError, match="give less than 1"):
        cluster(features, known=known, max_distance=1.0)


def test_owners_by_hand():
    assert in_one(np.array([-1, -1])).shape == (0, 2)
    with pytest.raises(InputError, match="rows 0 and 1, which"):
        owner_of_groups(np.array([0, 0]), np.array([4, 5]))
