"""Datasets that their owners publish: how to tell them, what their papers count."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fgu_jax.data.layouts.market import (
    CUHK03,
    DUKE,
    MARKET,
    VERI,
    NameRule,
    read_market,
)
from fgu_jax.data.layouts.mars import read_mars
from fgu_jax.data.layouts.msmt17 import read_msmt17
from fgu_jax.data.layouts.tree import Layout, Tree
from fgu_jax.errors import InputError
from fgu_jax.messages import did_you_mean
from fgu_jax.retrieval.protocol import UNKNOWN

# As commands and runs call them, and what their data is kept as where that is another.
NAMES = (
    *("synthetic", "market1501", "duke", "msmt17", "cuhk03", "veri", "mars"),
    "folder",
)
ALIASES = {"duke": "dukemtmcreid", "market": "market1501"}


@dataclass(frozen=True, kw_only=True)
class Published:
    """One dataset.

    Attributes:
      title: as its paper spells it.
      stem: what its folder's name starts with, in lower-case letters.
      marker: what lies in that folder and nowhere else.
      rule: how files are named; or the reader of a layout that is its own.
      owners: who gives it, for somebody who does not have it.
      counts: what its own paper counts.
      below: folders of it that may hold the set, the first that is there.
    """

    title: str
    stem: str
    marker: str
    rule: NameRule | Callable[..., Layout]
    owners: str
    counts: Mapping[str, int]
    below: tuple[str, ...] = ()

    def layout(self, tree: Tree) -> Layout:
        """Entries of this dataset, in the highest folder of the tree that has it.

        Raises:
          InputError: the tree holds something else.
        """
        starts = set()
        for name in tree.names:
            parts = name.split("/")
            if self.marker in parts:
                above = parts[: parts.index(self.marker)]
                starts.add("".join(f"{part}/" for part in above))
        if not starts:
            raise InputError(
                f"{tree.where}: no {self.marker} in it, so it is not {self.title}"
            )
        prefix = min(starts, key=lambda start: (start.count("/"), start))
        if not isinstance(self.rule, NameRule):
            return self.rule(tree, prefix=prefix)
        return read_market(tree, self.rule, prefix=prefix)


PUBLISHED = {
    "market1501": Published(
        title="Market-1501",
        stem="market",
        marker="bounding_box_train",
        rule=MARKET,
        owners="its authors publish it (Zheng et al., ICCV 2015: "
        "Market-1501-v15.09.15.zip)",
        counts={
            "training images": 12_936,
            "query images": 3_368,
            "gallery images": 15_913,
            "junk images": 3_819,
            "training identities": 751,
            "test identities": 750,
            "cameras": 6,
        },
    ),
    "dukemtmcreid": Published(
        title="DukeMTMC-reID",
        stem="duke",
        marker="bounding_box_train",
        rule=DUKE,
        owners="its authors withdrew DukeMTMC in 2019 and nobody publishes it "
        "officially: use a copy only where its terms and your ethics board allow it",
        counts={
            "training images": 16_522,
            "query images": 2_228,
            "gallery images": 17_661,
            "training identities": 702,
            "test identities": 702,
            "distractor identities": 408,
            "cameras": 8,
        },
    ),
    "msmt17": Published(
        title="MSMT17",
        stem="msmt17",
        marker="list_train.txt",
        rule=read_msmt17,
        owners="its authors give it on a signed release agreement (Wei et al., CVPR "
        "2018)",
        counts={
            "training images": 32_621,
            "query images": 11_659,
            "gallery images": 82_161,
            "training identities": 1_041,
            "test identities": 3_060,
            "cameras": 15,
        },
    ),
    "cuhk03": Published(
        title="CUHK03, new protocol, detected boxes",
        stem="cuhk03",
        marker="bounding_box_train",
        rule=CUHK03,
        below=("detected", "labeled"),
        owners="its authors publish it (Li et al., CVPR 2014), its new protocol's "
        "folders are of Zhong et al., CVPR 2017 (CUHK03-NP)",
        counts={
            "training images": 7_365,
            "query images": 1_400,
            "gallery images": 5_332,
            "training identities": 767,
            "test identities": 700,
            "cameras": 2,
        },
    ),
    "veri": Published(
        title="VeRi-776",
        stem="veri",
        marker="image_train",
        rule=VERI,
        owners="its authors give it on request (Liu et al., ECCV 2016)",
        counts={
            "training images": 37_778,
            "query images": 1_678,
            "gallery images": 11_579,
            "training identities": 576,
            "test identities": 200,
            "cameras": 20,
        },
    ),
    "mars": Published(
        title="MARS",
        stem="mars",
        marker="bbox_train",
        rule=read_mars,
        owners="its authors publish it (Zheng et al., ECCV 2016: bbox_train.zip, "
        "bbox_test.zip, and info/)",
        counts={
            "training images": 509_914,
            "query images": 1_980,
            "training identities": 625,
            "test identities": 626,
            "cameras": 6,
        },
    ),
}


def canonical_name(name: str) -> str:
    """The name a dataset's data is kept under; raises InputError with the near miss.

    >>> canonical_name("duke")
    'dukemtmcreid'
    """
    known = {*NAMES, *PUBLISHED, *ALIASES}
    if name in known:
        return ALIASES.get(name, name)
    listed = f"there are {', '.join(NAMES)}"
    hint = did_you_mean(str(name).lower(), sorted(known), cutoff=0.4, then=listed)
    raise InputError(f"unknown dataset {name!r}: {hint}")


def command_name(name: str) -> str:
    """A dataset's one name in commands and runs; what is unknown stays as it is.

    >>> command_name("dukemtmcreid"), command_name("market")
    ('duke', 'market1501')
    """
    kept = ALIASES.get(name, name)
    return next((known for known in NAMES if ALIASES.get(known, known) == kept), name)


def count(layout: Layout) -> dict[str, int]:
    """What a layout holds, under the names that ``Published.counts`` has."""
    train, query, gallery = (layout.splits[s] for s in ("train", "query", "gallery"))
    seen = [e for e in gallery if e.identity != UNKNOWN]
    counted = {"training images": len(train)}
    if query:
        counted |= {"query images": len(query), "gallery images": len(seen)}
    if len(seen) < len(gallery):
        counted["junk images"] = len(gallery) - len(seen)
    identities = {e.identity for e in train if e.identity is not None}
    if identities:
        counted["training identities"] = len(identities - {-1, 0})
    if query:
        queried = {e.identity for e in query}
        counted["test identities"] = len(queried)
        others = {e.identity for e in seen} - queried - {0}
        if others:
            counted["distractor identities"] = len(others)
    of_somebody = (e for e in (*train, *query, *seen) if e.identity != UNKNOWN)
    cameras = {e.camera for e in of_somebody if e.camera is not None}
    if cameras:
        counted["cameras"] = len(cameras)
    return counted
