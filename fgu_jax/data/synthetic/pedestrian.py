"""Draws one pedestrian: joints in space, turned, walking, then solids back to front."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fgu_jax.data.synthetic.clothes import lower_bands, upper_texture
from fgu_jax.data.synthetic.shapes import Canvas
from fgu_jax.data.synthetic.wardrobe import Person

# Joints, in body heights above the ground.
HIP, SHOULDER, CHIN = 0.50, 0.815, 0.865


@dataclass(frozen=True, kw_only=True)
class Pose:
    """Where a pedestrian stands on the canvas, how turned, at which point of a step.

    ``turn`` 0 faces the viewer, pi / 2 walks to the image's right, pi shows the back.
    ``size`` is the body's height in canvas heights, ``feet`` the point (x, y) on the
    ground between the feet, ``tilt`` how much the camera looks down.
    """

    turn: float
    phase: float
    size: float
    feet: tuple[float, float]
    tilt: float
    light: float


@dataclass(frozen=True)
class _View:
    """Body coordinates (left, up, forward) to the canvas."""

    pose: Pose

    def __call__(self, left: float, up: float, forward: float) -> tuple[float, float]:
        sin, cos = np.sin(self.pose.turn), np.cos(self.pose.turn)
        near = forward * cos - left * sin
        x = self.pose.feet[0] + self.pose.size * (left * cos + forward * sin)
        y = self.pose.feet[1] - self.pose.size * (up - self.pose.tilt * near)
        return x, y

    def near(self, left: float, forward: float) -> float:
        """Distance towards the viewer."""
        return forward * np.cos(self.pose.turn) - left * np.sin(self.pose.turn)

    def half(self, wide: float, deep: float) -> float:
        """Half the silhouette of an ellipse of these half axes, on the canvas."""
        sin, cos = np.sin(self.pose.turn), np.cos(self.pose.turn)
        return self.pose.size * float(np.hypot(wide * cos, deep * sin))


def draw_pedestrian(canvas: Canvas, person: Person, pose: Pose) -> None:
    """Paints a pedestrian over what the canvas shows."""
    pose = Pose(**{**vars(pose), "size": pose.size * person.height})
    view = _View(pose)
    parts: list[tuple[float, Callable[[], None]]] = []
    swing = 0.46 * person.stride * np.sin(pose.phase)
    for side in (-1, 1):
        parts += _leg(canvas, person, view, side, side * swing, pose)
        parts += _arm(canvas, person, view, side, -0.8 * side * swing, pose)
    parts += _torso(canvas, person, view, pose)
    parts += _head(canvas, person, view, pose)
    parts += _bag(canvas, person, view, pose)
    for _, paint in sorted(parts, key=lambda part: part[0]):
        paint()


def _leg(canvas, person, view, side, swing, pose):
    left = side * 0.052 * person.build
    hip_up = HIP * person.legs
    thigh = calf = 0.235 * person.legs
    # The leg that comes forward bends its knee as it passes under the body.
    bend = 0.12 + 0.75 * max(0.0, side * np.cos(pose.phase)) * person.stride * 0.6
    knee_up, knee_fwd = hip_up - thigh * np.cos(swing), thigh * np.sin(swing)
    low = swing - bend
    ankle_up = max(knee_up - calf * np.cos(low), 0.035)
    ankle_fwd = knee_fwd + calf * np.sin(low)
    wide = 0.056 * (0.6 + 0.4 * person.build)
    loose = {"leggings": 0.86, "trousers": 1.08}.get(person.lower, 1.0)
    upper_bands, calf_bands = lower_bands(person)
    size = pose.size
    hip, knee = view(left, hip_up, 0.0), view(left, knee_up, knee_fwd)
    ankle = view(left, ankle_up, ankle_fwd)
    toe = view(left * 1.25, max(ankle_up - 0.028, 0.008), ankle_fwd + 0.075)
    stripe = person.lower_stripe if person.lower in ("trousers", "leggings") else None

    def paint() -> None:
        kind = {"light": pose.light}
        foot = [(1.0, person.shoes)]
        canvas.limb(ankle, toe, (0.026 * size, 0.019 * size), foot, **kind)
        calf_radii = (0.041 * loose * size, 0.027 * loose * size)
        canvas.limb(knee, ankle, calf_radii, calf_bands, stripe=stripe, **kind)
        thigh_radii = (wide * loose * size, 0.043 * loose * size)
        canvas.limb(hip, knee, thigh_radii, upper_bands, stripe=stripe, **kind)

    # Below every hem: legs are painted before the torso, the farther one first.
    return [(view.near(left, 0.5 * ankle_fwd) - 1.0, paint)]


def _arm(canvas, person, view, side, swing, pose):
    left = side * 0.128 * person.build
    upper, fore = 0.165, 0.155
    out = side * 0.03
    elbow = (left + out, SHOULDER - 0.02 - upper * np.cos(swing), upper * np.sin(swing))
    bent = swing + 0.3
    hand = (elbow[0], elbow[1] - fore * np.cos(bent), elbow[2] + fore * np.sin(bent))
    size, sleeve, skin = pose.size, person.sleeve_color, person.skin
    bare = person.upper in ("vest",)
    first = [(0.12, sleeve), (1.0, skin)] if bare else [(1.0, sleeve)]
    second = [(0.9, sleeve), (1.0, skin)]
    if person.upper in ("tee", "dress") or bare:
        first = first if bare else [(0.75, sleeve), (1.0, skin)]
        second = [(1.0, skin)]
    thick = 1.2 if person.upper in ("jacket", "coat") else 1.0
    shoulder_at = view(left * 0.93, SHOULDER - 0.022, 0.0)
    elbow_at, hand_at = view(*elbow), view(*hand)

    def paint() -> None:
        kind = {"light": pose.light}
        radii = (0.034 * thick * size, 0.029 * thick * size)
        canvas.limb(shoulder_at, elbow_at, radii, first, **kind)
        radii = (0.028 * thick * size, 0.021 * thick * size)
        canvas.limb(elbow_at, hand_at, radii, second, **kind)
        canvas.limb(hand_at, hand_at, (0.022 * size,) * 2, [(1.0, skin)], **kind)

    parts = [(1.4 * view.near(left, 0.4 * hand[2]), paint)]
    if person.bag == "handbag" and side == person.bag_side:
        at = (hand[0], hand[1] - 0.075, hand[2])
        half = (view.half(0.022, 0.06), 0.055 * size)
        parts.append(
            (
                1.4 * view.near(left, hand[2]) + 0.01,
                lambda: canvas.box(view(*at), half, person.bag_color, light=pose.light),
            )
        )
    return parts


def _torso(canvas, person, view, pose):
    shoulders = (view.half(0.136 * person.build, 0.066 * person.build), 0.03)
    waist = view.half(0.102 * person.build, 0.066 * person.build)
    hips = view.half(0.110 * person.build, 0.078 * person.build)
    hip_up = HIP * person.legs
    length = {"coat": 0.24, "dress": 0.20, "jacket": 0.05}.get(person.upper, 0.02)
    flare = {"coat": 1.12, "dress": 1.5}.get(person.upper, 1.0)
    top, bottom = view(0, SHOULDER + 0.03, 0), view(0, hip_up - length, 0)
    span = SHOULDER + 0.03 - hip_up + length
    at_waist, at_hips = (SHOULDER + 0.03 - 0.60) / span, (0.85 - hip_up) / span
    profile = [
        (0.0, 0.36 * shoulders[0]),
        (0.07, 0.80 * shoulders[0]),
        (0.15, shoulders[0]),
        (at_waist, waist),
        (min(at_hips, 0.98), hips),
        (1.0, hips * flare),
    ]
    skirt = {"skirt": 0.17, "long skirt": 0.36}.get(person.lower)

    def paint() -> None:
        kind = {"turn": pose.turn, "light": pose.light}
        if skirt is not None and person.upper != "dress":
            hem = hips * (1.35 if person.lower == "skirt" else 1.25)
            canvas.tube(
                view(0, hip_up + 0.04, 0),
                view(0, hip_up - skirt, 0),
                [(0, waist), (0.25, hips), (1, hem)],
                lambda angle, share: np.broadcast_to(
                    person.lower_color, (*angle.shape, 3)
                ),
                **kind,
            )
        canvas.tube(top, bottom, profile, upper_texture(person), **kind)
        if person.bag == "belt":
            at = view(0, hip_up + 0.05, 0.08)
            if np.cos(pose.turn) > -0.2:
                half = (view.half(0.05, 0.03), 0.022 * pose.size)
                canvas.box(at, half, person.bag_color, light=pose.light)

    return [(0.0, paint)]


def _head(canvas, person, view, pose):
    size = pose.size
    half = 0.052 * person.head * size
    chin = CHIN - 0.005
    top = chin + 0.135 * person.head
    covered = person.haircut in ("cap", "beanie")
    crown = person.hat if covered else person.hair
    line = {"bald": 0.0, "cap": 0.36, "beanie": 0.42}.get(person.haircut, 0.30)
    back = 0.0 if person.haircut == "bald" else 1.15

    def texture(angle: np.ndarray, share: np.ndarray) -> np.ndarray:
        face = np.abs(angle)
        color = np.broadcast_to(person.skin, (*angle.shape, 3)).copy()
        eyes = (np.abs(face - 0.42) < 0.15) & (np.abs(share - 0.50) < 0.035)
        color[eyes] *= 0.35
        color[(face < 0.25) & (np.abs(share - 0.76) < 0.025)] *= 0.72
        if back:
            nape = 0.95 if person.haircut == "long" else 0.78
            color[(face > back) & (share < nape)] = person.hair
        color[share < line] = crown
        return color

    # The head leans forward a little, so that a profile has a face side.
    low, high = view(0, chin, 0.016), view(0, top, 0.016)
    steps = np.linspace(0, 1, 9)
    round_ = np.sqrt(np.clip(1 - (2 * steps - 1) ** 2, 0, 1))
    jaw = np.where(steps > 0.5, 0.94 - 0.10 * (steps - 0.5), 1.0)
    profile = list(zip(steps, half * (round_ * jaw), strict=True))

    def paint() -> None:
        kind = {"light": pose.light}
        neck = [(1.0, person.skin * 0.88)]
        canvas.limb(
            view(0, SHOULDER + 0.01, 0), low, (0.033 * size, 0.03 * size), neck, **kind
        )
        canvas.tube(high, low, profile, texture, turn=pose.turn, **kind)
        if person.haircut == "cap":
            brim = (view(0, top - 0.045, 0.05), view(0, top - 0.052, 0.095))
            canvas.limb(
                *brim, (0.012 * size, 0.008 * size), [(1.0, crown * 0.8)], **kind
            )

    def paint_hair() -> None:
        hair = [(1.0, person.hair)]
        if person.haircut == "long":
            ends = (view(0, top - 0.06, -0.03), view(0, SHOULDER - 0.05, -0.05))
            canvas.limb(*ends, (0.05 * size, 0.048 * size), hair, light=pose.light)
        elif person.haircut == "tail":
            ends = (view(0, top - 0.03, -0.055), view(0, SHOULDER - 0.03, -0.085))
            canvas.limb(*ends, (0.024 * size, 0.014 * size), hair, light=pose.light)
        elif person.haircut == "bun":
            at = view(0, top - 0.005, -0.04)
            canvas.limb(at, at, (0.03 * size,) * 2, hair, light=pose.light)

    return [(0.01, paint), (0.01 + 0.1 * view.near(0, -1.0), paint_hair)]


def _bag(canvas, person, view, pose):
    if person.bag == "backpack":
        at, half = view(0, 0.685, -0.115), (view.half(0.092, 0.05), 0.112 * pose.size)
        near = view.near(0, -0.115)
    elif person.bag == "shoulder":
        left = person.bag_side * 0.145 * person.build
        at, half = view(left, 0.50, 0.0), (view.half(0.04, 0.085), 0.062 * pose.size)
        near = view.near(left * 2, 0.0)
    else:
        return []
    color, light = person.bag_color, pose.light
    return [(near, lambda: canvas.box(at, half, color, light=light))]
