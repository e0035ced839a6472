"""A camera: its place and light, what stands in the way, what it does to colors."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from fgu_jax.data.synthetic.pedestrian import Pose, draw_pedestrian
from fgu_jax.data.synthetic.settings import Settings
from fgu_jax.data.synthetic.shapes import Canvas
from fgu_jax.data.synthetic.wardrobe import Person, dress

HEIGHT, WIDTH, FINENESS = 128, 64, 3
_CAMERA, _PHOTO = 1, 2


@dataclass(frozen=True, kw_only=True)
class Camera:
    """What is the same on all pictures of one camera.

    ``scene`` is float32 [160, 512, 3]; ``path`` is the direction that people walk in.
    """

    scene: np.ndarray
    path: float
    tilt: float
    light: float
    gain: float
    tint: np.ndarray
    gamma: float
    blur: float
    noise: float


def set_up(settings: Settings, number: int) -> Camera:
    """The camera of this number, drawn by lot from the seed."""
    rng = settings.random(_CAMERA, number)
    cast = rng.uniform(-1, 1, 3) * settings.scaled("tint")
    return Camera(
        scene=_scene(rng, settings.scaled("background")),
        path=rng.uniform(0, np.pi),
        tilt=rng.uniform(0.08, 0.28),
        light=rng.uniform(-1, 1),
        gain=float(np.exp(rng.uniform(-1, 0.6) * settings.scaled("gain"))),
        tint=(1 + cast - cast.mean()).astype(np.float32),
        gamma=float(np.exp(rng.uniform(-1, 1) * settings.scaled("gamma"))),
        blur=rng.uniform(0.1, 1) * settings.scaled("blur"),
        noise=rng.uniform(0.2, 1) * settings.scaled("noise"),
    )


def photograph(
    settings: Settings, camera: Camera, person: Person, *place: int, bad: bool = False
) -> np.ndarray:
    """One picture, uint8 [128, 64, 3].

    Args:
      settings: the knobs.
      camera: who takes it.
      person: who is on it.
      *place: numbers that name this picture; they alone seed what is left to chance.
      bad: a crop that a detector got wrong, as Market-1501's junk.
    """
    rng = settings.random(_PHOTO, *place)
    pose = _pose(rng, settings, camera, bad)
    picture = _ground(rng, camera, pose)
    hidden = rng.random() < settings.scaled("occlusion")
    kind = rng.random()
    if hidden and kind < 0.35:
        picture = _with_passer_by(picture, rng, settings, camera, pose)
    canvas = Canvas(HEIGHT, WIDTH, FINENESS)
    draw_pedestrian(canvas, person, pose)
    rgb, alpha = canvas.shrink()
    picture = picture * (1 - alpha[..., None]) + rgb
    if hidden and kind >= 0.35:
        _put_before(picture, rng)
    return _develop(picture, rng, camera)


def _pose(rng, settings: Settings, camera: Camera, bad: bool) -> Pose:
    jitter = settings.scaled("jitter")
    shift = rng.uniform(-1, 1, 2) * jitter
    size = 0.93 * (1 + rng.uniform(-1, 0.7) * jitter)
    if bad:
        size *= rng.choice((0.45, 1.9))
        shift = rng.choice((-1, 1), 2) * rng.uniform(0.18, 0.3, 2)
    way = camera.path + (np.pi if rng.random() < 0.5 else 0.0)
    return Pose(
        turn=way + rng.normal(0, 0.45),
        phase=rng.uniform(0, 2 * np.pi),
        size=size,
        feet=(0.45 * shift[0], 0.975 - 0.5 * (0.95 - size) + 0.35 * shift[1]),
        tilt=camera.tilt,
        light=float(np.clip(camera.light + rng.normal(0, 0.2), -1, 1)),
    )


def _scene(rng: np.random.Generator, colorful: float) -> np.ndarray:
    """A wall above a pavement, wide enough for every crop to be another one."""
    height, width = 160, 512

    def tone(low: float, high: float) -> np.ndarray:
        hue = rng.uniform(-0.5, 0.5, 3)
        return np.clip(rng.uniform(low, high) * (1 + colorful * hue), 0.05, 0.95)

    scene = np.empty((height, width, 3), np.float32)
    skyline = int(height * rng.uniform(0.30, 0.55))
    scene[:skyline], scene[skyline:] = tone(0.40, 0.66), tone(0.36, 0.60)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    # Doors, windows, posters, posts: upright boxes of many tones.
    for _ in range(int(rng.integers(9, 18))):
        left, wide = int(rng.integers(0, width)), int(rng.integers(5, 46))
        top = int(rng.integers(0, max(skyline - 12, 1)))
        bottom = skyline if rng.random() < 0.6 else top + int(rng.integers(8, 40))
        scene[top : min(bottom, skyline), left : left + wide] = tone(0.25, 0.75)
        scene[top : min(bottom, skyline), left : left + 1] *= 0.7
    # Slabs that run away from the camera, and their joints.
    below = np.maximum(y - skyline, 0)
    pitch, slant = rng.uniform(9, 24), rng.uniform(-0.8, 0.8)
    joint = (np.abs((x + slant * below) % (pitch * 2) - pitch) < 0.9) & (below > 0)
    rows = (np.abs((below**0.8) % (pitch * 0.6)) < 0.9) & (below > 0)
    scene[joint | rows] *= rng.uniform(0.8, 0.95)
    scene[skyline : skyline + 2] *= 0.65
    # Hedges or dirt: soft noise at two sizes.
    for size, strength in ((20, 0.10), (5, 0.07)):
        coarse = rng.normal(0, 1, (height // size + 2, width // size + 2))
        soft = Image.fromarray(coarse.astype(np.float32), "F").resize(
            (width, height), Image.Resampling.BICUBIC
        )
        scene *= 1 + strength * np.asarray(soft)[..., None]
    scene *= 1 + 0.12 * (x / width - 0.5)[..., None] * rng.uniform(-1, 1)
    return np.clip(scene, 0, 1)


def _ground(rng, camera: Camera, pose: Pose) -> np.ndarray:
    """The camera's scene where the pedestrian walks, with a shadow at the feet."""
    rows, columns = camera.scene.shape[:2]
    left = int(rng.integers(0, columns - WIDTH))
    middle = (rows - HEIGHT) // 2
    top = int(np.clip(middle + rng.normal(0, 5), 0, rows - HEIGHT))
    picture = camera.scene[top : top + HEIGHT, left : left + WIDTH].copy()
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    x = (x + 0.5 - WIDTH / 2) / HEIGHT - pose.feet[0] - 0.05 * camera.light
    y = (y + 0.5) / HEIGHT - pose.feet[1]
    shadow = np.exp(-((x / (0.16 * pose.size)) ** 2) - (y / (0.035 * pose.size)) ** 2)
    return picture * (1 - 0.45 * shadow[..., None])


def _with_passer_by(picture, rng, settings: Settings, camera: Camera, pose: Pose):
    """Somebody else, half cut off, behind the pedestrian."""
    side = rng.choice((-1, 1))
    other = Pose(
        turn=camera.path + rng.normal(0, 0.6),
        phase=rng.uniform(0, 2 * np.pi),
        size=pose.size * rng.uniform(0.75, 0.98),
        feet=(side * rng.uniform(0.17, 0.27), pose.feet[1] - rng.uniform(0.0, 0.07)),
        tilt=camera.tilt,
        light=pose.light,
    )
    canvas = Canvas(HEIGHT, WIDTH, 2)
    draw_pedestrian(canvas, dress(rng, settings), other)
    rgb, alpha = canvas.shrink()
    return picture * (1 - alpha[..., None]) + rgb


def _put_before(picture: np.ndarray, rng) -> None:
    """A bollard, a post or a bicycle's basket before the pedestrian, in place."""
    tone = rng.uniform(0.2, 0.7) * (1 + rng.uniform(-0.08, 0.08, 3))
    kind = rng.integers(3)
    if kind == 0:
        wide, left = int(rng.integers(5, 11)), int(rng.integers(0, WIDTH - 8))
        area = (slice(int(rng.integers(0, 50)), HEIGHT), slice(left, left + wide))
    elif kind == 1:
        area = (slice(HEIGHT - int(rng.integers(14, 44)), HEIGHT), slice(0, WIDTH))
    else:
        wide = int(rng.integers(10, 22))
        side = slice(0, wide) if rng.random() < 0.5 else slice(WIDTH - wide, WIDTH)
        area = (slice(int(rng.integers(20, 70)), HEIGHT), side)
    rows, columns = picture[area].shape[:2]
    round_ = 1.1 - 0.5 * np.linspace(-1, 1, columns) ** 2
    grain = 1 + 0.05 * rng.normal(0, 1, (rows, columns))
    picture[area] = np.clip(tone * (round_ * grain)[..., None], 0, 1)


def _develop(picture: np.ndarray, rng, camera: Camera) -> np.ndarray:
    """Lens and sensor: blur, gain, cast, gamma, noise, eight bits."""
    image = Image.fromarray((picture * 255 + 0.5).astype(np.uint8))
    blur = camera.blur * rng.uniform(0.6, 1.2)
    if blur > 0.2:
        image = image.filter(ImageFilter.GaussianBlur(blur))
    light = np.asarray(image, np.float32) / 255
    light = light * (camera.gain * np.exp(rng.normal(0, 0.03))) * camera.tint
    light = np.clip(light, 0, 1) ** camera.gamma
    light += rng.normal(0, 1, light.shape).astype(np.float32) * camera.noise
    return (np.clip(light, 0, 1) * 255 + 0.5).astype(np.uint8)
