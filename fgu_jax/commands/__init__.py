"""Bodies of the commands, as ``experiments/NAME.py`` and ``fgu-jax NAME`` run them.

A command is a module: ``parser`` and a function of the command's own name.
"""

COMMANDS = {
    "prepare": "an archive or a folder in, a checked dataset out",
    "train": "trains without labels; every flag is a field of the configuration",
    "pretrain": "trains with labels of another dataset: a start for train",
    "evaluate": "rank-1, mAP and mINP of a trained network",
    "cluster": "clusters any folder of images with a trained network",
    "review": "a page that asks a person about doubtful pairs, to correct clusters",
    "search": "ranked matches of a query, as a page",
    "embed": "features of any folder of images, as an .npz file",
    "export": "a trained network for inference: its weights, and a portable program",
    "ablate": "a table of ablations over seeds, as Markdown",
    "bench": "one piece of the work, measured against the machine's floor",
}
