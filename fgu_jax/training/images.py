"""The images of a run: opened once, cut in two. Training sees no label of them."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from fgu_jax.config import Config
from fgu_jax.config.located import data_dirs, read_as
from fgu_jax.data import (
    Dataset,
    Images,
    ImageSet,
    Settings,
    StreamedImages,
    given,
    half_of_identities,
    hold_out_identities,
    limit_identities,
    limit_rows,
    load_dataset,
    open_images,
    resized_by,
)
from fgu_jax.data.decode import Resize
from fgu_jax.data.reading import Reading
from fgu_jax.errors import InputError
from fgu_jax.evaluation.judge import Judge
from fgu_jax.parallel import processes
from fgu_jax.parallel.mesh import replicate
from fgu_jax.progress import Progress
from fgu_jax.training.together import NOTHING, Together, known_together


class About(NamedTuple):
    """What tables for people give back: nothing of it is learnt from.

    Attributes:
      identity_names: what identity ``i`` is called is ``identity_names[i - 1]``.
      columns: of a table of labels, a row by an image's name.
    """

    identity_names: tuple[str, ...] = ()
    columns: Mapping[str, Mapping[str, str]] = MappingProxyType({})


NOBODY = About()


@dataclasses.dataclass(frozen=True)
class Opened:
    """The images of a run.

    Attributes:
      names: [N].
      images: uint8 [N, height, width, 3] in row order: decoded, or a stream of them
        where they would not fit.
      judge: who alone is handed labels.
      cameras: int32 [N], where ``use_cameras`` asks for them.
      together: what ``links`` and ``use_tracks`` ask for.
      about: what else is known of the images, for people.
      reading: what was read of the files that are there; ``None`` of an array.
    """

    names: tuple[str, ...]
    images: Images
    judge: Judge
    cameras: np.ndarray | None = None
    together: Together = NOTHING
    about: About = NOBODY
    reading: Reading | None = None

    def for_session(self) -> dict[str, Any]:
        """All but the reading, by name: what a ``Session`` has of the data."""
        return {k: v for k, v in vars(self).items() if k != "reading"}


def open_data(config: Config, data: Any, progress: Progress | None) -> Opened:
    """Names, pixels and cameras for training, and the judge, who alone has labels.

    Args:
      config: the run's.
      data: a ``Dataset``; or images, as ``fit`` takes them; ``None`` reads
        ``config.dataset``.
      progress: of reading.

    Returns:
      ``Opened``.

    Raises:
      InputError: data that is missing, unreadable, or of another size or type; no
        cameras where they are asked for.
    """
    size = (config.image_height, config.image_width)
    if data is not None and not isinstance(data, Dataset):
        _cameras(config, None)
        if not given.is_one_array(data) or data.shape[1:3] != size:
            data = _sized(data, size, config.resize)
        names = tuple(f"{row:08d}" for row in range(len(data)))
        together = known_together(config, names, None)
        return Opened(names, data, Judge(None, *size), together=together)
    dataset = data if data is not None else read_dataset(config, progress)
    judge = Judge(
        dataset,
        *size,
        average_precision=config.average_precision,
        stream=config.stream,
        progress=progress,
    )
    images: ImageSet = dataset.train  # from here on: pictures, names, no identity
    pixels = open_images(images, *size, stream=config.stream, progress=progress)
    cameras = _cameras(config, dataset)
    return Opened(
        images.names,
        pixels,
        judge,
        cameras,
        known_together(config, images.names, dataset),
        About(dataset.identity_names or (), dataset.columns),
        dataset.reading,
    )


def _cameras(config: Config, dataset: Dataset | None) -> np.ndarray | None:
    """The cameras of the training images, a number each, and no more of any label."""
    if not config.use_cameras:
        return None
    labels = None if dataset is None else dataset.train_labels
    if labels is None or labels.cameras is None:
        raise InputError(
            f"use_cameras, but the cameras of {config.dataset} are not known: leave it "
            "out, or give a dataset whose names hold them (--pattern)"
        )
    return np.array(labels.cameras, np.int32)


def _sized(data: Any, size: tuple[int, int], resize: Resize) -> np.ndarray:
    """Images of any kind as uint8 [N, height, width, 3], resized."""
    listed = given.as_list(data)
    images = np.empty((len(listed), *size, 3), np.uint8)
    for row, image in enumerate(listed):
        images[row] = given.sized(image, *size, what=f"image {row}", resize=resize)
    return images


def read_dataset(config: Config, progress: Progress | None) -> Dataset:
    """The dataset of the configuration, cut and held out as it says."""
    drawn = Settings(seed=config.seed, difficulty=config.difficulty)
    dataset = load_dataset(
        config.dataset,
        data_dir=data_dirs(config.data_dir),
        settings=drawn if config.dataset == "synthetic" else None,
        skip_bad=config.skip_bad,
        **read_as(config.pattern, config.data_dir),
        progress=progress,
    )
    dataset = resized_by(dataset, config.resize)
    # Held out first: the same identities are held out whatever the run trains on.
    if config.holdout_identities is not None:
        dataset = hold_out_identities(dataset, config.holdout_identities)
    if config.identities != "all":
        dataset = half_of_identities(dataset, config.identities)
    if config.limit_identities is not None:
        dataset = limit_identities(dataset, config.limit_identities, config.seed)
    if config.limit is not None:
        dataset = limit_rows(dataset, config.limit)
    return dataset


def known_of(opened: Opened) -> str | None:
    """A digest of the cameras, tracks and answers that clusters are made with.

    ``None`` where there are none.
    """
    together, cameras = opened.together, opened.cameras
    if cameras is None and not together:
        return None
    digest = hashlib.blake2b(digest_size=16)
    used = (cameras, together.tracks, together.must_link, together.cannot_link)
    for of in used:
        rows = np.empty(0) if of is None else of
        digest.update(f"{rows.shape}".encode())
        digest.update(np.ascontiguousarray(rows, np.int64).data)
    return digest.hexdigest()


def fingerprint(names: tuple[str, ...], images: Images) -> str:
    """A digest of the training images as they are trained on, and of their names."""
    digest = hashlib.blake2b(json.dumps(names).encode(), digest_size=16)
    for start in range(0, len(images), 1024):
        digest.update(np.ascontiguousarray(images[start : start + 1024]).data)
    return digest.hexdigest()


def place_images(config: Config, images: Images, mesh: Mesh) -> jax.Array | None:
    """The training images on the devices, or ``None`` where they stay on the host."""
    here = config.images_on_device != "never" and not isinstance(images, StreamedImages)
    if here and config.images_on_device == "auto":
        here = _fits(images.nbytes)
    # Each process knows the memory of its own devices alone, and all must do the same.
    if processes.maximum(not here):
        return None
    return replicate(images, mesh)


def host_batches(images: Images, order: np.ndarray) -> Iterator[np.ndarray]:
    """Batches of images for steps whose images are not on the device.

    Args:
      images: uint8 [N, H, W, 3] or a stream of them; both give the same batches.
      order: int [steps, B], rows of each batch.
    """
    if isinstance(images, StreamedImages):
        yield from images.batches(order)
    else:
        for rows in order:
            yield images[rows]


def _fits(size: int) -> bool:
    """Whether images take at most 40% of a device's memory; a CPU keeps no copy."""
    device = jax.local_devices()[0]  # of other processes' nothing is known
    stats = device.memory_stats() if device.platform != "cpu" else None
    if not stats or "bytes_limit" not in stats:
        return False
    return size <= 0.4 * stats["bytes_limit"]
