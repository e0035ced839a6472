"""Every knob of the drawn data."""

import hashlib
import json
from dataclasses import asdict, dataclass

import numpy as np

from fgu_jax.errors import InputError

DRAWING = 1
"""Raised whenever the drawing changes, so that old pictures are not taken for new."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is drawn. ``difficulty`` scales all knobs of the second group.

    The knobs of the second group state how strong an effect is at difficulty 1; what is
    drawn has ``difficulty`` times as much of it. At difficulty 1 a small network from
    scratch learns the camera, not the pedestrian; at 0.5 that depends on the seed.
    """

    # How many.
    train_identities: int = 100
    test_identities: int = 60
    cameras: int = 5
    images_per_camera: int = 2
    # Chance that a camera sees an identity; at least two cameras always do.
    seen_by: float = 0.85
    # Images of strangers (identity 0) and of bad crops (identity -1) in the gallery.
    distractors: int = 24
    junk: int = 12
    seed: int = 0
    difficulty: float = 0.35

    # A camera's own light: log gain, colour cast per channel, log gamma.
    gain: float = 0.45
    tint: float = 0.18
    gamma: float = 0.30
    # How colourful its background is, 0 (grey) to 1.
    background: float = 0.35
    # The worst camera's blur (sigma in pixels of the 128 x 64 image) and noise (0..1).
    blur: float = 1.6
    noise: float = 0.05
    # Chance that something stands before or beside the pedestrian.
    occlusion: float = 0.6
    # Shift and scale of the crop, as a share of its height.
    jitter: float = 0.14
    # Clothing colours fall from 14 (difficulty 0) to 14 - this, and ...
    shared_colors: int = 9
    # ... the share of each identity's own shade, 0.15 at difficulty 0, falls by this.
    shared_shade: float = 0.15
    # Both may be said outright, whatever the difficulty.
    colors: int | None = None
    shade: float | None = None

    def __post_init__(self) -> None:
        least = {"train_identities": 2, "test_identities": 2, "cameras": 2}
        least |= {"images_per_camera": 2, "distractors": 0, "junk": 0, "seed": 0}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise InputError(f"{name}={getattr(self, name)}: give {low} or more")
        if self.train_identities + self.test_identities > 9999:
            raise InputError(
                f"{self.train_identities} + {self.test_identities} identities: file "
                "names have room for 9999"
            )
        highest = {"difficulty": 1.0, "seen_by": 1.0, "tint": 0.9, "background": 1.0}
        highest |= {"occlusion": 1.0, "jitter": 0.4, "shared_colors": 12}
        highest |= {"gain": 2.0, "gamma": 1.0, "blur": 8.0, "noise": 0.5}
        highest |= {"shared_shade": 0.15}
        for name, high in highest.items():
            if not 0 <= getattr(self, name) <= high:
                raise InputError(
                    f"{name}={getattr(self, name)}: give a value from 0 to {high:g}"
                )

        if self.colors is not None and not 2 <= self.colors <= 14:
            raise InputError(f"colors={self.colors}: give 2 to 14")
        if self.shade is not None and not 0 <= self.shade <= 0.5:
            raise InputError(f"shade={self.shade}: give a value from 0 to 0.5")

    @property
    def palette_size(self) -> int:
        """How many clothing colours there are."""
        if self.colors is not None:
            return self.colors
        return 14 - round(self.shared_colors * self.difficulty)

    @property
    def own_shade(self) -> float:
        """How far an identity's shade of a colour may lie from the palette's."""
        if self.shade is not None:
            return self.shade
        return 0.15 - self.shared_shade * self.difficulty

    def scaled(self, name: str) -> float:
        """The strength of one effect as it is drawn."""
        return self.difficulty * float(getattr(self, name))

    def digest(self) -> str:
        """Hexadecimal digits that name these settings and this drawing."""
        told = json.dumps({"drawing": DRAWING, **asdict(self)}, sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()[:12]

    def random(self, *place: int) -> np.random.Generator:
        """A generator that depends on the seed and the place alone, never on order.

        >>> a, b = Settings().random(3, 1), Settings().random(3, 1)
        >>> bool(a.random() == b.random())
        True
        """
        return np.random.default_rng(np.random.SeedSequence([self.seed, *place]))
