"""A bag of colour words in sixteen stripes."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from fgu_jax.clustering.kmeans import kmeans
from fgu_jax.errors import InputError
from fgu_jax.handcrafted.color_terms import color_terms
from fgu_jax.handcrafted.pictures import bump, check_images
from fgu_jax.progress import Progress

PATCH = 4  # pixels, and the step between patches
STRIPES = 16
LEAST = (STRIPES * PATCH, PATCH)  # height and width in pixels
# Deviations of the Gaussian mask, in heights and widths of the image.
_DOWN, _ACROSS = 0.3, 0.25
_CHUNK = 32
_SAMPLES = 100_000  # descriptors that the words are learnt from
_ITERATIONS = 30  # of k-means, after which words hardly move


@dataclasses.dataclass(frozen=True)
class BagOfWords:
    """Images to bags of words.

    Attributes:
      words: float32 [K, 11], the codebook.
      rarity: float32 [16 K], inverse document frequency of each word in each stripe.
      assignments: how many nearest words a patch counts for.

    Source: Zheng et al., Scalable Person Re-identification: A Benchmark, ICCV 2015,
    section 4.
    """

    words: np.ndarray
    rarity: np.ndarray
    assignments: int = 10

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Bags of words of images.

        A patch counts, in its stripe, for its nearest words, weighted by the mask. Bags
        are of the root of counts, so that words that come in bursts rule less, times
        the words' rarity, and unit. Where that leaves nothing, as of an image whose
        words all images have, they are of the roots alone.

        Args:
          images: uint8 [N, H, W, 3], RGB.

        Returns:
          float32 [N, 16 K], rows of unit length.

        Raises:
          InputError: another shape or type, or images lower than 16 patches.
        """
        found = np.empty((len(images), len(self.rarity)), np.float32)
        for start, counts in self._counted(images):
            roots = np.sqrt(counts)
            bags = roots * self.rarity
            bags = np.where(bags.any(axis=1, keepdims=True), bags, roots)
            length = np.linalg.norm(bags, axis=1, keepdims=True)
            found[start : start + len(bags)] = bags / length
        return found

    def _counted(
        self, images: np.ndarray, progress: Progress | None = None
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Where each chunk of images begins, and their counts, float [n, 16 K]."""
        _check(images)
        _, height, width, _ = images.shape
        rows, columns = height // PATCH, width // PATCH
        mask = bump(rows, _DOWN)[:, None] * bump(columns, _ACROSS)
        weight = mask.reshape(1, -1, 1).astype(np.float32)
        # The first patch of each stripe, patches going row by row.
        starts = -(-np.arange(STRIPES) * rows // STRIPES) * columns
        half_square = np.sum(self.words**2, axis=1)[None, :] / 2
        for start in range(0, len(images), _CHUNK):
            chunk = images[start : start + _CHUNK]
            patches = describe_patches(chunk)
            far = half_square - patches.reshape(-1, patches.shape[-1]) @ self.words.T
            last = np.partition(far, self.assignments - 1, axis=1)
            near = far <= last[:, self.assignments - 1, None]
            votes = near.reshape(len(chunk), rows * columns, -1) * weight
            counts = np.add.reduceat(votes, starts, axis=1)
            yield start, counts.reshape(len(chunk), -1)
            if progress:
                progress(start + len(chunk), len(images), "bags of words")


def learn_bag_of_words(
    images: np.ndarray,
    *,
    num_words: int = 350,
    assignments: int = 10,
    seed: int = 0,
    progress: Progress | None = None,
) -> BagOfWords:
    """Words and their rarity from images without labels.

    Words are k-means centres of patch descriptors. The rarity of a word in a stripe is
    log((1 + N) / (1 + n)) where it is in the stripe of n of N images.

    Args:
      images: uint8 [N, H, W, 3], RGB; the paper's are 128 x 64.
      num_words: K, 350 in the paper.
      assignments: nearest words a patch counts for, 1..K; 10 in the paper.
      seed: of the sample of descriptors and of k-means.
      progress: called with (done, total, what).

    Raises:
      InputError: another shape or type, images lower than 16 patches, fewer patches
        than words, assignments outside 1..K.

    Source: Zheng et al., ICCV 2015, section 4. Its words were learnt on another set of
    people, its descriptors are Color Names (``color_terms``).
    """
    _check(images)
    per_image = (images.shape[1] // PATCH) * (images.shape[2] // PATCH)
    if len(images) * per_image < num_words or not 1 <= assignments <= num_words:
        raise InputError(
            f"{num_words} words and {assignments} assignments from "
            f"{len(images) * per_image} patches: give no more words than patches, and "
            "1 to that many assignments"
        )
    draw = np.random.default_rng(seed)
    needed = min(len(images), -(-_SAMPLES // per_image) * 4)
    rows = np.sort(draw.choice(len(images), needed, replace=False))
    patches = np.concatenate(
        [
            describe_patches(images[rows[k : k + _CHUNK]]).reshape(-1, 11)
            for k in range(0, needed, _CHUNK)
        ]
    )
    kept = np.sort(
        draw.choice(len(patches), min(len(patches), _SAMPLES), replace=False)
    )
    _, words = kmeans(
        patches[kept], num_words, seed=seed, iterations=_ITERATIONS, progress=progress
    )
    size = STRIPES * num_words
    plain = BagOfWords(words, np.ones(size, np.float32), assignments)
    documents = np.zeros(size, np.int64)
    for _, counts in plain._counted(images, progress):
        documents += np.count_nonzero(counts, axis=0)
    rarity = np.log((1 + len(images)) / (1 + documents)).astype(np.float32)
    return dataclasses.replace(plain, rarity=rarity)


def describe_patches(images: np.ndarray) -> np.ndarray:
    """Descriptors of 4 x 4 patches side by side: roots of mean shares of colour terms.

    Args:
      images: uint8 [N, H, W, 3], RGB.

    Returns:
      float32 [N, H // 4 * (W // 4), 11], rows of unit length.

    >>> describe_patches(np.zeros((1, 8, 4, 3), np.uint8)).shape
    (1, 2, 11)
    """
    count, height, width, _ = images.shape
    rows, columns = height // PATCH, width // PATCH
    shares = color_terms(images[:, : rows * PATCH, : columns * PATCH])
    split = shares.reshape(count, rows, PATCH, columns, PATCH, -1)
    return np.sqrt(split.mean(axis=(2, 4))).reshape(count, rows * columns, -1)


def _check(images: np.ndarray) -> None:
    check_images(images)
    if images.shape[1] < LEAST[0] or images.shape[2] < LEAST[1]:
        raise InputError(
            f"images are {images.shape[1]} x {images.shape[2]}: bags of words take "
            f"{LEAST[0]} x {LEAST[1]} or more, resize them"
        )
