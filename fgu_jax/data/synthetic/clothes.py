"""What is on the body: patterns around the torso, how far a leg is covered."""

import numpy as np

from fgu_jax.data.synthetic.shapes import Texture
from fgu_jax.data.synthetic.wardrobe import Color, Person


def upper_texture(person: Person) -> Texture:
    """Color of the torso by angle (0 is the chest, pi the back) and share downwards."""

    def texture(angle: np.ndarray, share: np.ndarray) -> np.ndarray:
        color = np.broadcast_to(person.upper_color, (*angle.shape, 3)).copy()
        color[_figure(person, angle, share)] = person.upper_second
        front = np.abs(angle)
        if person.upper in ("jacket", "coat"):
            color[(front < 0.07) & (share > 0.08)] *= 0.6
            color[share < 0.10] *= 0.85
        if person.upper in ("shirt", "dress"):
            color[(np.abs(share - 0.62) < 0.02) & (front > -1)] *= 0.88
        collar = {"tee": 0.07, "vest": 0.13, "dress": 0.12}.get(person.upper, 0.04)
        color[(share < collar * np.clip(1.4 - front, 0, 1))] = person.skin
        if person.bag == "backpack":
            color[(np.abs(front - 0.62) < 0.13) & (share < 0.5)] = (
                person.bag_color * 0.9
            )
        if person.bag == "shoulder":
            slope = person.bag_side * np.sin(angle)
            strap = np.abs(share - 0.45 - 0.38 * slope * np.sign(np.cos(angle) + 1e-6))
            color[(strap < 0.05) & (share < 0.8)] = person.bag_color * 0.9
        return color

    return texture


def _figure(person: Person, angle: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Where the second color is, boolean."""
    scale, front = person.pattern_scale, np.abs(angle)
    hoop = np.floor(share * 9 * scale) % 2 == 1
    bar = np.floor((angle + np.pi) * 3.2 * scale) % 2 == 1
    if person.pattern == "hoops":
        return hoop
    if person.pattern == "bars":
        return bar
    if person.pattern == "checks":
        return hoop ^ bar
    if person.pattern == "dots":
        down = (share * 8 * scale) % 1 - 0.5
        around = ((angle + np.pi) * 2.2 * scale) % 1 - 0.5
        return down**2 + around**2 < 0.1
    if person.pattern == "band":
        return np.abs(share - 0.42) < 0.11 * scale
    if person.pattern == "print":
        return (front / 0.55) ** 2 + ((share - 0.36) / 0.15) ** 2 < scale
    if person.pattern == "back print":
        return ((np.pi - front) / 0.7) ** 2 + ((share - 0.38) / 0.2) ** 2 < scale
    if person.pattern == "blocks":
        return share > 0.45 * scale
    if person.pattern == "sides":
        return np.abs(front - np.pi / 2) < 0.5 * scale
    if person.pattern == "open":
        return (front < 0.42 * scale) & (share > 0.03)
    return np.zeros(angle.shape, bool)


def lower_bands(person: Person) -> tuple[list[tuple[float, Color]], ...]:
    """Colors along the thigh and along the calf, each up to a share of its length."""
    cloth, skin, shoes = person.lower_color, person.skin, person.shoes
    if person.upper == "dress":
        return [(1.0, skin)], _shod([(0.86, skin)], shoes, person.boots)
    if person.lower == "shorts":
        return [(0.82, cloth), (1.0, skin)], _shod(
            [(0.7, skin), (0.88, skin * 0.2 + 0.7)], shoes, person.boots
        )
    if person.lower in ("skirt", "long skirt"):
        return [(1.0, skin)], _shod([(0.86, skin)], shoes, person.boots)
    if person.lower == "leggings":
        return [(1.0, cloth)], _shod([(0.55, cloth), (0.86, skin)], shoes, person.boots)
    return [(1.0, cloth)], _shod([(0.93, cloth)], shoes, person.boots)


def _shod(
    bands: list[tuple[float, Color]], shoes: Color, boots: bool
) -> list[tuple[float, Color]]:
    """Bands of a calf that end in a shoe, or half-way up in a boot."""
    if not boots:
        return [*bands, (1.0, shoes)]
    return [(min(end, 0.45), color) for end, color in bands[:1]] + [(1.0, shoes)]
