"""Images that do not fit memory: decoded when they are asked for, ahead of time."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal

import numpy as np

from fgu_jax.data.images import ImageSet, default_threads
from fgu_jax.parallel import machine
from fgu_jax.progress import Progress

SHARE = 0.5
"""Images are decoded once and kept if they take at most this share of free memory."""


class StreamedImages:
    """Looks like uint8 [N, H, W, 3], and decodes the rows that are indexed.

    ``batches`` is the way for training and ``slices`` that of a pass over all images:
    both work ahead of whoever consumes them. All give, bit for bit, the rows of
    ``ImageSet.decode``.
    """

    def __init__(self, images: ImageSet, height: int, width: int) -> None:
        self.images = images
        self.shape = (len(images), height, width, 3)
        self.dtype = np.dtype(np.uint8)
        self.ndim = 4

    @property
    def nbytes(self) -> int:
        """Bytes that all images would take, decoded."""
        return decoded_bytes(len(self), *self.shape[1:3])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows) -> np.ndarray:
        """Decoded images of a row, a slice, or an array of rows."""
        index = np.arange(len(self))[rows]
        if index.ndim == 0:
            return self.decode_row(int(index))
        return self.images.take(index.tolist()).decode(*self.shape[1:3])

    def decode_row(self, row: int) -> np.ndarray:
        """One image, uint8 [H, W, 3]; raises InputError with its name."""
        return self.images.decode_row(row, *self.shape[1:3])

    def slices(self, rows: Sequence[slice]) -> Iterator[np.ndarray]:
        """Decoded images of each of the slices, in order, decoded ahead.

        Raises:
          InputError: images of a slice cannot be read (their names).
        """
        threads = default_threads()
        waiting: deque[Future[np.ndarray]] = deque()
        with ThreadPoolExecutor(threads) as pool:
            try:
                for each in rows:
                    waiting.append(pool.submit(self.__getitem__, each))
                    if len(waiting) > threads:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def batches(
        self, order: np.ndarray, *, threads: int | None = None, ahead: int = 4
    ) -> Iterator[np.ndarray]:
        """Batches of an epoch, decoded ahead by grain.

        Args:
          order: int [steps, B], the rows of each batch.
          threads: how many batches are decoded at once; what comes out does not depend
            on it.
          ahead: batches that may wait to be taken; they bound the memory.

        Yields:
          uint8 [B, H, W, 3], equal to ``decoded[order[k]]``.

        Raises:
          InputError: an image cannot be read (its name).
        """
        import grain

        steps, size = order.shape
        if steps == 0:
            return
        rows = grain.MapDataset.range(steps * size)
        flat = order.reshape(-1)
        dataset = rows.map(lambda i: self.decode_row(int(flat[i]))).batch(size)
        options = grain.ReadOptions(
            num_threads=threads or default_threads(), prefetch_buffer_size=ahead
        )
        yield from dataset.to_iter_dataset(options)


Images = np.ndarray | StreamedImages
"""uint8 [N, H, W, 3]: decoded, or decoded as they are asked for."""


def open_images(
    images: ImageSet,
    height: int,
    width: int,
    *,
    stream: Literal["auto", "always", "never"] = "auto",
    progress: Progress | None = None,
) -> Images:
    """All images decoded, or a stream of them where they would not fit.

    Args:
      images: what to open.
      height, width: size of the images in pixels.
      stream: ``auto`` streams if the decoded images take more than ``SHARE`` of the
        memory that is free now.
      progress: of decoding; a stream decodes nothing yet.
    """
    if stream == "auto":
        needed = decoded_bytes(len(images), height, width)
        stream = "always" if needed > SHARE * machine.free_memory() else "never"
    if stream == "always":
        return StreamedImages(images, height, width)
    return images.decode(height, width, progress=progress)


def decoded_bytes(num_images: int, height: int, width: int) -> int:
    """Memory of decoded images, in bytes.

    >>> decoded_bytes(12_936, 384, 128)
    1907490816
    """
    return num_images * height * width * 3
