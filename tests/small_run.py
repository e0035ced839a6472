"""The settings of a run of seconds, for whatever is done with a trained one."""

SMALL_RUN = {
    "preset": "quick-2026-11",  # merges as the paper's
    "backbone": "resnet_micro",
    "image_height": 32,
    "image_width": 16,
    "num_patches": 2,
    "patch_dim": 8,
    "num_neighbors": 4,
    "batch_size": 8,
    "epochs": 4,
    "merge_start": 2,
    "merge_every": 1,
    "merge_stop": 3,
    "merge_fraction": 0.1,
    "eval_every": 0,
    "save_every": 2,
    "devices": 1,
    "report": False,
}
