"""Writes drawn pedestrians as Market-1501 is: three folders of JPEG."""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from fgu_jax.data.synthetic.camera import photograph, set_up
from fgu_jax.data.synthetic.settings import Settings
from fgu_jax.data.synthetic.wardrobe import Person, dress
from fgu_jax.files import OTHER_PLACE, whole_folder
from fgu_jax.progress import Progress

_PERSON, _SEEN = 0, 3
_STRANGERS = 100_000


@dataclass(frozen=True)
class Shot:
    """One picture to take: its file, who is on it, which camera, which time."""

    folder: str
    file: str
    person: int
    camera: int
    image: int
    bad: bool = False


def plan(settings: Settings) -> list[Shot]:
    """All pictures of a set, in Market-1501's folders and names."""
    return [*_identities(settings), *_others(settings)]


def _identities(settings: Settings) -> Iterator[Shot]:
    last = settings.train_identities + settings.test_identities
    for identity in range(1, last + 1):
        rng = settings.random(_SEEN, identity)
        seen = rng.random(settings.cameras) < settings.seen_by
        # Two cameras at least, or nothing could be found again.
        seen[rng.permutation(settings.cameras)[:2]] = True
        for camera in np.flatnonzero(seen) + 1:
            for image in range(settings.images_per_camera):
                folder = "bounding_box_train"
                if identity > settings.train_identities:
                    folder = "query" if image == 0 else "bounding_box_test"
                file = _file(identity, int(camera), image)
                yield Shot(folder, file, identity, int(camera), image)


def _others(settings: Settings) -> Iterator[Shot]:
    for number in range(settings.distractors + settings.junk):
        bad = number >= settings.distractors
        camera = number % settings.cameras + 1
        file = _file(-1 if bad else 0, camera, number)
        stranger = _STRANGERS + number
        yield Shot("bounding_box_test", file, stranger, camera, 0, bad)


def _file(identity: int, camera: int, image: int) -> str:
    who = "-1" if identity < 0 else f"{identity:04d}"
    frame = 151 + 25 * image + 100 * (max(identity, 0) % 900)
    return f"{who}_c{camera}s1_{frame:06d}_{image % 100:02d}.jpg"


def write_synthetic(
    settings: Settings,
    data_dir: Path,
    progress: Progress | None = None,
) -> Path:
    """The folder of a drawn set below ``data_dir``, drawn now unless it is there.

    Same settings, same bytes (of one version of NumPy and Pillow). The folder appears
    under its name only when it is complete.

    Raises:
      InputError: ``data_dir`` cannot be written, or the disk is full.
    """
    root = data_dir / f"synthetic-{settings.digest()}"
    if not _is_whole(root):
        with whole_folder(root, keep=_is_whole, mend=OTHER_PLACE) as half:
            _draw_all(settings, half, progress)
            text = json.dumps(asdict(settings), indent=2, sort_keys=True) + "\n"
            (half / "settings.json").write_text(text)
    return root


def _is_whole(root: Path) -> bool:
    return (root / "settings.json").is_file()


def _draw_all(
    settings: Settings,
    root: Path,
    progress: Progress | None,
) -> None:
    shots = plan(settings)
    for folder in ("bounding_box_train", "query", "bounding_box_test"):
        (root / folder).mkdir(parents=True)
    cameras = {c: set_up(settings, c) for c in range(1, settings.cameras + 1)}
    people: dict[int, Person] = {
        shot.person: dress(settings.random(_PERSON, shot.person), settings)
        for shot in shots
    }

    def draw(shot: Shot) -> None:
        picture = photograph(
            settings,
            cameras[shot.camera],
            people[shot.person],
            *(shot.person, shot.camera, shot.image),
            bad=shot.bad,
        )
        path = root / shot.folder / shot.file
        Image.fromarray(picture).save(path, "JPEG", quality=90)

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for done, _ in enumerate(pool.map(draw, shots), 1):
            if progress is not None:
                progress(done, len(shots), "drawing synthetic images")
