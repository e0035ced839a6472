"""Who a drawn pedestrian is: body, hair, clothes, bag."""

from dataclasses import dataclass

import numpy as np

from fgu_jax.data.synthetic.settings import Settings

Color = np.ndarray
"""float [3], RGB in 0..1."""

PALETTE = np.array(
    [
        [0.11, 0.11, 0.12],  # black
        [0.84, 0.84, 0.82],  # white
        [0.14, 0.19, 0.38],  # navy
        [0.66, 0.15, 0.15],  # red
        [0.42, 0.42, 0.44],  # grey
        [0.30, 0.46, 0.70],  # blue
        [0.60, 0.53, 0.39],  # khaki
        [0.20, 0.40, 0.25],  # green
        [0.82, 0.70, 0.24],  # yellow
        [0.38, 0.26, 0.18],  # brown
        [0.84, 0.55, 0.62],  # pink
        [0.43, 0.25, 0.47],  # purple
        [0.17, 0.50, 0.52],  # teal
        [0.80, 0.44, 0.18],  # orange
    ]
)
SKIN = np.array(
    [[0.89, 0.72, 0.62], [0.82, 0.63, 0.50], [0.68, 0.48, 0.36], [0.45, 0.31, 0.23]]
)
HAIR = np.array(
    [
        [0.09, 0.08, 0.08],
        [0.22, 0.14, 0.09],
        [0.40, 0.27, 0.15],
        [0.70, 0.57, 0.34],
        [0.60, 0.59, 0.58],
    ]
)
UPPERS = ("tee", "shirt", "jacket", "coat", "vest", "dress")
UPPER_ODDS = (0.30, 0.27, 0.18, 0.10, 0.07, 0.08)
PATTERNS = (
    *("plain", "hoops", "bars", "checks", "dots", "band", "print", "back print"),
    *("blocks", "sides", "open"),
)
PATTERN_ODDS = (0.24, 0.11, 0.08, 0.08, 0.06, 0.09, 0.10, 0.06, 0.08, 0.05, 0.05)
LOWERS = ("trousers", "shorts", "skirt", "long skirt", "leggings")
LOWER_ODDS = (0.46, 0.22, 0.13, 0.07, 0.12)
HAIRCUTS = ("short", "long", "bun", "tail", "cap", "beanie", "bald")
HAIRCUT_ODDS = (0.34, 0.20, 0.09, 0.12, 0.12, 0.07, 0.06)
BAGS = ("none", "backpack", "shoulder", "handbag", "belt")
BAG_ODDS = (0.34, 0.25, 0.18, 0.16, 0.07)


@dataclass(frozen=True, kw_only=True)
class Person:
    """Lengths are shares of the body's height."""

    height: float
    build: float
    legs: float
    head: float
    skin: Color
    hair: Color
    haircut: str
    hat: Color
    upper: str
    upper_color: Color
    upper_second: Color
    sleeve_color: Color
    pattern: str
    pattern_scale: float
    lower: str
    lower_color: Color
    lower_stripe: Color | None
    shoes: Color
    boots: bool
    bag: str
    bag_color: Color
    bag_side: int
    stride: float


def dress(rng: np.random.Generator, settings: Settings) -> Person:
    """A pedestrian drawn by lot, in the colours that these settings leave."""

    def pick(names: tuple[str, ...], odds: tuple[float, ...]) -> str:
        return names[int(rng.choice(len(names), p=np.asarray(odds) / np.sum(odds)))]

    def color() -> Color:
        base = PALETTE[rng.integers(settings.palette_size)]
        own = rng.uniform(-1, 1, 3) * settings.own_shade + rng.normal(0, 0.012, 3)
        return np.clip(base + own, 0.04, 0.95)

    def another(than: Color) -> Color:
        for _ in range(8):
            other = color()
            if np.abs(other - than).sum() > 0.45:
                return other
        return 1.0 - 0.8 * than

    upper = pick(UPPERS, UPPER_ODDS)
    upper_color = color()
    second = another(upper_color)
    lower_color = color()
    return Person(
        height=rng.uniform(0.93, 1.03),
        build=rng.uniform(0.84, 1.24),
        legs=rng.uniform(0.94, 1.05),
        head=rng.uniform(0.93, 1.08),
        skin=SKIN[rng.integers(len(SKIN))] + rng.normal(0, 0.015, 3),
        hair=HAIR[rng.integers(len(HAIR))] + rng.normal(0, 0.01, 3),
        haircut=pick(HAIRCUTS, HAIRCUT_ODDS),
        hat=color(),
        upper=upper,
        upper_color=upper_color,
        upper_second=second,
        sleeve_color=second if rng.random() < 0.16 else upper_color,
        pattern=pick(PATTERNS, PATTERN_ODDS),
        pattern_scale=rng.uniform(0.75, 1.3),
        lower=pick(LOWERS, LOWER_ODDS),
        lower_color=upper_color if upper == "dress" else lower_color,
        lower_stripe=another(lower_color) if rng.random() < 0.15 else None,
        shoes=color(),
        boots=bool(rng.random() < 0.15),
        bag=pick(BAGS, BAG_ODDS),
        bag_color=color(),
        bag_side=int(rng.choice((-1, 1))),
        stride=rng.uniform(0.75, 1.15),
    )
