"""Images for training, labels for evaluation, and every way that both come in."""

from fgu_jax.data import given
from fgu_jax.data.dataset import (
    Dataset,
    Labels,
    half_of_identities,
    hold_out_identities,
    limit_identities,
    limit_rows,
    only_known,
    resized_by,
)
from fgu_jax.data.images import ImageSet
from fgu_jax.data.load import load_dataset
from fgu_jax.data.published import NAMES, canonical_name
from fgu_jax.data.stream import Images, StreamedImages, open_images
from fgu_jax.data.synthetic.settings import Settings
from fgu_jax.progress import Progress

__all__ = [
    "NAMES",
    "Dataset",
    "ImageSet",
    "Images",
    "Labels",
    "Progress",
    "Settings",
    "StreamedImages",
    "canonical_name",
    "given",
    "half_of_identities",
    "hold_out_identities",
    "limit_identities",
    "limit_rows",
    "load_dataset",
    "only_known",
    "open_images",
    "resized_by",
]
