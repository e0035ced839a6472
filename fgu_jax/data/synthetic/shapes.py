"""Solids of revolution on a canvas: a tube, a limb, a box, painted back to front."""

from collections.abc import Callable, Sequence

import numpy as np

Texture = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Color float [..., 3] of points (angle around the solid, share of its length)."""


class Canvas:
    """RGB and coverage, several times as fine as the picture that is asked for.

    Coordinates are (x, y) in heights of the canvas, y downwards, x from its middle.
    """

    def __init__(self, height: int, width: int, fineness: int) -> None:
        self.fineness = fineness
        self.height, self.width = height * fineness, width * fineness
        self.rgb = np.zeros((self.height, self.width, 3), np.float32)
        self.alpha = np.zeros((self.height, self.width), np.float32)

    def shrink(self) -> tuple[np.ndarray, np.ndarray]:
        """RGB times coverage [H, W, 3] and coverage [H, W], averaged: antialiased."""
        fine = self.fineness
        rows, columns = self.height // fine, self.width // fine
        rgb = self.rgb * self.alpha[..., None]
        rgb = rgb.reshape(rows, fine, columns, fine, 3).mean((1, 3))
        return rgb, self.alpha.reshape(rows, fine, columns, fine).mean((1, 3))

    def _window(self, x0: float, x1: float, y0: float, y1: float):
        """Slices and pixel centres of a rectangle, clipped; None if nothing is left."""
        size, half = self.height, self.width / 2
        left = max(int(np.floor(x0 * size + half)), 0)
        right = min(int(np.ceil(x1 * size + half)) + 1, self.width)
        top = max(int(np.floor(y0 * size)), 0)
        bottom = min(int(np.ceil(y1 * size)) + 1, self.height)
        if left >= right or top >= bottom:
            return None
        x = (np.arange(left, right, dtype=np.float32) + 0.5 - half) / size
        y = (np.arange(top, bottom, dtype=np.float32) + 0.5) / size
        return (slice(top, bottom), slice(left, right)), x[None, :], y[:, None]

    def _paint(self, where, mask: np.ndarray, color: np.ndarray) -> None:
        self.rgb[where][mask] = np.clip(color[mask], 0, 1)
        self.alpha[where][mask] = 1

    def tube(
        self,
        top: tuple[float, float],
        bottom: tuple[float, float],
        profile: Sequence[tuple[float, float]],
        texture: Texture,
        *,
        turn: float = 0.0,
        light: float = 0.0,
    ) -> None:
        """An upright solid: half its width by share of its length, seen turned.

        Args:
          top, bottom: ends of its axis.
          profile: pairs (share of the length, half the width).
          texture: color by angle (0 is its front) and share of the length.
          turn: angle from facing the viewer; its left then turns towards the viewer.
          light: -1 (from the left) .. 1 (from the right).
        """
        (x0, y0), (x1, y1) = top, bottom
        stops, halves = np.asarray(profile, np.float32).T
        reach = float(halves.max())
        window = self._window(min(x0, x1) - reach, max(x0, x1) + reach, y0, y1)
        if window is None or y1 <= y0:
            return
        where, x, y = window
        share = (y - y0) / (y1 - y0)
        half = np.interp(share, stops, halves).astype(np.float32)
        side = (x - (x0 + (x1 - x0) * share)) / np.maximum(half, 1e-4)
        mask = (np.abs(side) <= 1) & (share >= 0) & (share <= 1)
        side = np.clip(side, -1, 1)
        angle = np.arcsin(side) - turn
        angle = (angle + np.pi) % (2 * np.pi) - np.pi
        color = texture(angle, np.broadcast_to(share, side.shape))
        self._paint(where, mask, color * _shade(side, light)[..., None])

    def limb(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        radii: tuple[float, float],
        bands: Sequence[tuple[float, np.ndarray]],
        *,
        stripe: np.ndarray | None = None,
        light: float = 0.0,
    ) -> None:
        """A rounded, tapering limb, in one color up to each band's share of its length.

        Args:
          start, end: its joints.
          radii: at the joints.
          bands: pairs (share of the length where the color ends, color).
          stripe: color of a stripe along its middle.
          light: as for ``tube``.
        """
        reach = max(radii)
        xs, ys = (start[0], end[0]), (start[1], end[1])
        window = self._window(
            min(xs) - reach, max(xs) + reach, min(ys) - reach, max(ys) + reach
        )
        if window is None:
            return
        where, x, y = window
        dx, dy = end[0] - start[0], end[1] - start[1]
        length = max(float(np.hypot(dx, dy)), 1e-5)
        along = ((x - start[0]) * dx + (y - start[1]) * dy) / length**2
        share = np.clip(along, 0, 1)
        radius = radii[0] + (radii[1] - radii[0]) * share
        away = np.hypot(x - start[0] - share * dx, y - start[1] - share * dy)
        # Sideways is measured to the image's right of a limb that hangs down.
        side = ((x - start[0]) * dy - (y - start[1]) * dx) / length / radius
        ends = np.array([end for end, _ in bands[:-1]])
        colors = np.stack([color for _, color in bands]).astype(np.float32)
        color = colors[np.searchsorted(ends, share, side="right")]
        if stripe is not None:
            color = np.where((np.abs(side) < 0.28)[..., None], stripe, color)
        shade = _shade(np.clip(side, -1, 1), light)[..., None]
        self._paint(where, away <= radius, color * shade)

    def box(
        self,
        centre: tuple[float, float],
        half: tuple[float, float],
        color: np.ndarray,
        *,
        rounding: float = 0.4,
        light: float = 0.0,
    ) -> None:
        """A rounded box: its centre, half its width and height, its corners' share."""
        (cx, cy), (hx, hy) = centre, half
        window = self._window(cx - hx, cx + hx, cy - hy, cy + hy)
        if window is None:
            return
        where, x, y = window
        corner = rounding * min(hx, hy)
        outx = np.maximum(np.abs(x - cx) - hx + corner, 0)
        outy = np.maximum(np.abs(y - cy) - hy + corner, 0)
        side = np.broadcast_to((x - cx) / hx, np.broadcast_shapes(x.shape, y.shape))
        shade = _shade(np.clip(side, -1, 1) * 0.7, light)
        # A flap, and the seam below it.
        flap = np.where(y < cy - 0.25 * hy, 1.1, 1.0) * np.where(
            np.abs(y - cy + 0.25 * hy) < 0.07 * hy, 0.7, 1.0
        )
        self._paint(
            where, np.hypot(outx, outy) <= corner, color * (shade * flap)[..., None]
        )


def _shade(side: np.ndarray, light: float) -> np.ndarray:
    """Light on a round surface: darker towards its edges, brighter to the lamp's."""
    return 1.06 - 0.36 * side**2 + 0.16 * light * side
