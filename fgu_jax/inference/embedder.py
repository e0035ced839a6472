"""A trained network as a function of images: what ``fgu_jax.load`` gives."""

import dataclasses
import functools
import hashlib
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from fgu_jax._version import __version__
from fgu_jax.config import FIELDS, Config, fields_of
from fgu_jax.data import Images, ImageSet, given, open_images
from fgu_jax.data.images import describe_bad
from fgu_jax.errors import InputError
from fgu_jax.inference.network import build_network
from fgu_jax.inference.passes import BLOCK, PARTS, Embedding
from fgu_jax.inference.trained import read_trained
from fgu_jax.parallel.mesh import make_mesh, replicate
from fgu_jax.progress import Progress

# What the first digests of networks were of. Any field that came later is in them only
# where it is not at its default, so that what was kept under older ones is still found.
_FIRST = (
    *("backbone", "image_height", "image_width", "num_patches", "patch_dim"),
    *("patch_generator", "neck", "precision"),
)


class Embedder:
    """Images to unit features.

    Attributes:
      config: of the run that trained the network; ``resize`` of it is how images come
        to their size.
      size: (height, width) in pixels that images are resized to.
      step: how many batches the network was trained on; None where nobody counted.
      parts_known: which features it has, of ``PARTS``, the best first.
    """

    config: Any  # a Config, where the network was trained here
    step: int | None = None
    parts_known: tuple[str, ...] = PARTS

    def __init__(
        self, config: Config, variables: dict[str, Any], step: int | None = None
    ):
        known_by = [getattr(config, name) for name in _FIRST]
        for name in (*fields_of("network"), "resize"):
            value = getattr(config, name)
            if name not in _FIRST and value != FIELDS[name].default:
                known_by.append(f"{name}={value}")
        self._prepare(config, build_network(config), variables, known_by)
        self.step = step

    def _prepare(
        self,
        config: Any,
        network: Any,
        variables: dict[str, Any],
        known_by: list[Any],
        block: int = BLOCK,
    ) -> None:
        """Takes in a network: what decides it, its module, its weights.

        Args:
          config: has ``image_height``, ``image_width``, ``resize`` and ``to_json``.
          network: a Flax module that gives ``Features``.
          variables: ``params`` and ``batch_stats``.
          known_by: the values that go into ``identity``.
          block: images in a compiled call.
        """
        mesh = make_mesh(1)  # the same features whatever the number of devices
        self.config = config
        self.size = (config.image_height, config.image_width)
        self._known_by = known_by
        self._variables = replicate(variables, mesh)
        self._embedding = Embedding(network, mesh, block)

    def __call__(
        self,
        images: Any,
        *,
        part: str = "fused",
        progress: Progress | None = None,
    ) -> np.ndarray:
        """Features of images; Euclidean distance compares them.

        Args:
          images: uint8 [B, H, W, 3] of any H and W, RGB; or a list, a generator or a
            column of a table of arrays, Pillow images or paths (``data.given.KINDS``);
            or one of them.
          part: ``fused`` (global and patches), ``global`` or ``local``.
          progress: called with images done, B, and what is done.

        Returns:
          NumPy float32 [B, F], unit rows.

        Raises:
          InputError: images of another type or shape, an unknown part.
        """
        self.check_part(part)
        in_one = given.is_one_array(images)
        if in_one and images.shape[1:3] == self.size:
            return self._parts(images, (part,), progress)[part]
        listed = images if in_one else given.as_list(images)
        rows = np.empty((len(listed), *self.size, 3), np.uint8)
        for row, image in enumerate(listed):
            rows[row] = given.sized(
                image, *self.size, what=f"image {row}", resize=self.config.resize
            )
        return self._parts(rows, (part,), progress)[part]

    def check_part(self, part: str) -> None:
        """Raises ``InputError`` unless the network has a feature called ``part``."""
        if part not in self.parts_known:
            known = " or ".join(self.parts_known)
            raise InputError(f"part is {part!r}: choose {known}")

    def of_set(
        self,
        images: ImageSet,
        parts: tuple[str, ...] | None = None,
        *,
        stream: Literal["auto", "always", "never"] = "auto",
        progress: Progress | None = None,
    ) -> dict[str, np.ndarray]:
        """Features of a set of images, however many: streamed where they do not fit.

        A feature depends on nothing but its image: images go through the network in
        blocks of one fixed shape.

        Args:
          images: decoded to ``size``.
          parts: of ``fused``, ``global`` and ``local``; none: all that there are.
          stream: as in ``data.open_images``; the features are the same.
          progress: called with (done, total, what).

        Returns:
          Each of the parts, NumPy float32 [N, F], unit rows.

        Raises:
          InputError: images that cannot be read; all are looked for before the first
            name is told. A part that the network does not have.
        """
        parts = self.parts_known if parts is None else parts
        for part in parts:
            self.check_part(part)
        images = dataclasses.replace(images, resize=self.config.resize)
        opened = open_images(images, *self.size, stream=stream, progress=progress)
        try:
            return self._parts(opened, parts, progress)
        except InputError:
            bad = images.find_bad()  # among those that are still to come, too
            if not bad:
                raise
            raise InputError(describe_bad(bad, len(images))) from None

    def _parts(
        self, images: Images, parts: tuple[str, ...], progress: Progress | None
    ) -> dict[str, np.ndarray]:
        if len(images) == 0:
            raise InputError("0 images: give at least one")
        return self._embedding.parts(self._variables, images, parts, progress=progress)

    @functools.cached_property
    def identity(self) -> str:
        """Hexadecimal digest of network and weights: what features are known by."""
        known_by = repr((__version__, self._known_by))
        digest = hashlib.blake2b(known_by.encode(), digest_size=16)
        leaves, _ = jax.tree.flatten_with_path(jax.device_get(self._variables))
        for path, leaf in leaves:
            digest.update(f"{jax.tree_util.keystr(path)} {leaf.dtype}".encode())
            digest.update(leaf.tobytes())
        return digest.hexdigest()


def load(path: str | Path) -> Embedder:
    """A trained network, ready for images.

    Args:
      path: a run's folder (its newest checkpoint is taken), or one that
        ``experiments/export.py`` wrote.

    Returns:
      ``Embedder``.

    Raises:
      InputError: the folder is neither, or what it holds cannot be used.
    """
    trained = read_trained(path)
    return Embedder(trained.config, trained.variables, trained.step)
