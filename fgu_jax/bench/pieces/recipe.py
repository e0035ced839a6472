"""An epoch of ``--preset=tuned``, new clusters included, beside plain PyTorch."""

import dataclasses
import tempfile

import jax
import numpy as np

from fgu_jax import networks
from fgu_jax.bench.measure import OURS, Unequal, Work
from fgu_jax.bench.rivals import plain_network
from fgu_jax.bench.sizes import Recipe
from fgu_jax.bench.training import forward_operations, rested_variables
from fgu_jax.config import Config, presets
from fgu_jax.data import Settings, load_dataset, open_images
from fgu_jax.parallel.mesh import make_mesh
from fgu_jax.training import programs
from fgu_jax.training.backgrounds import by_background
from fgu_jax.training.epoch import Epochs
from fgu_jax.training.optimizer import make_optimizer
from fgu_jax.training.regrouping import regroup
from fgu_jax.training.state import create, result
from fgu_jax.training.stopping import StopRequest

_FAR = 0.2  # by which the losses of two epochs may differ: both draw augmentations


@dataclasses.dataclass(frozen=True)
class Start:
    """What both sides begin with.

    Attributes:
      config: of the run.
      images: uint8 [N, H, W, 3].
      view: int [N], groups by background.
      variables: of the network.
      labels: int32 [N], clusters of a first pass.
      features: of that pass, global [N, D] and patches [U, N, d].
    """

    config: Config
    images: np.ndarray
    view: np.ndarray
    variables: dict
    labels: np.ndarray
    features: tuple[np.ndarray, np.ndarray]


def works(sizes: Recipe) -> list[Work]:
    """One row."""
    networks.check_num_patches(sizes.backbone, sizes.height, sizes.width, sizes.patches)
    mesh = make_mesh(1)
    start = _start(sizes, mesh)
    rivals = {}
    plain = plain_network(start.config, start.variables)
    if plain is not None:
        from fgu_jax.bench.rivals.recipe import epochs

        rivals["PyTorch"] = epochs(plain, start)

    def check(results):
        mine, mine_clusters = results[OURS]
        said = [f"{OURS}: loss {mine:.3f}, then {mine_clusters} clusters"]
        for name, (loss, clusters) in results.items():
            if name == OURS:
                continue
            if abs(loss / mine - 1) > _FAR:
                raise Unequal(f"loss of the first epoch: {mine:.3f}, {name} {loss:.3f}")
            said.append(f"{name}: {loss:.3f}, {clusters}")
        return "; ".join(said)

    count = len(start.images)
    stepped = count // sizes.batch * sizes.batch
    return [
        Work(
            what=f"an epoch of tuned, {sizes.backbone}, {sizes.height} x "
            f"{sizes.width}, batch {sizes.batch}, N {count:,}",
            run=_ours(start, mesh),
            rivals=rivals,
            check=check,
            operations=(3 * stepped + count) * forward_operations(start.config),
            items=stepped,
            notes=(
                "the floor is three forward passes of what is trained on, and one of "
                "all images, at the rate of products",
                "steps with augmentation, the pass over the images, clusters anew, V "
                "and W from them; batches and groups by background are the same code",
            ),
        )
    ]


def _start(sizes: Recipe, mesh) -> Start:
    settings = Settings(
        train_identities=sizes.identities, test_identities=2, distractors=0, junk=0
    )
    config = presets.resolve(
        {
            "dataset": "synthetic",
            "preset": "tuned",
            "backbone": sizes.backbone,
            "init": "random",
            "image_height": sizes.height,
            "image_width": sizes.width,
            "num_patches": sizes.patches,
            "patch_dim": 128,
            "batch_size": sizes.batch,
            "epochs": 1000,  # the rate and the distance stay where they begin
            "merge_stop": 1000,
            "cosine_epoch": 1001,
            "restart_epoch": None,
            "handcrafted_stop": None,
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        dataset = load_dataset("synthetic", data_dir=folder, settings=settings)
        images = np.asarray(open_images(dataset.train, sizes.height, sizes.width))
    variables = rested_variables(config, images[: sizes.batch])
    embedding = programs.embedding(config, mesh)
    features = embedding(variables, images)
    view = by_background(images, config.backgrounds, seed=0)
    state = _regrouped(config, variables, features, view, mesh)
    labels = np.array(state.labels)
    return Start(config, images, view, variables, labels, features)


def _regrouped(config, variables, features, view, mesh):
    state = create(
        variables=variables,
        optimizer=make_optimizer(config, variables, 1),
        global_features=features[0],
        patches=features[1],
        seed=0,
    )
    return regroup(config, state, features, mesh, epoch=0, views=(view,)).state


def _ours(start: Start, mesh):
    config, images = start.config, start.images
    step = programs.train_step(config, len(images) // config.batch_size)
    train = Epochs(config, step, images, mesh, view=start.view)
    embedding = programs.embedding(config, mesh)
    first = start.variables, start.features, start.view
    held = [_regrouped(config, *first, mesh), 0]

    def work():
        state, epoch = held[0], held[1] + 1
        before = jax.device_get(state.sums["loss"])
        steps = int(state.step)
        state = train(epoch, state, StopRequest(), lambda *_: None)
        steps = int(state.step) - steps
        loss = float(state.sums["loss"] - before) / steps
        features = embedding(result(state), images)
        views = (start.view,)
        found = regroup(config, state, features, mesh, epoch=epoch, views=views)
        state = found.state
        held[:] = state, epoch
        return loss, int(state.num_clusters)

    return work
