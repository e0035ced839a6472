"""Archive or folder in, TFDS dataset out: checked, counted, whole or not at all."""

import contextlib
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from fgu_jax.data.images import FolderSource, ImageSet, Source, describe_bad
from fgu_jax.data.layouts.archive import open_tree
from fgu_jax.data.layouts.folder import read_folder
from fgu_jax.data.layouts.market import MARKET, read_market
from fgu_jax.data.layouts.tree import FolderTree, Layout, Tree
from fgu_jax.data.load import digest_of, read_table
from fgu_jax.data.prepared.contents import Digesting, content_of, read_all
from fgu_jax.data.prepared.read import VERSION, Prepared, find_prepared
from fgu_jax.data.published import PUBLISHED, canonical_name, count
from fgu_jax.data.reading import Reading
from fgu_jax.data.synthetic.settings import Settings
from fgu_jax.data.synthetic.write import write_synthetic
from fgu_jax.errors import InputError
from fgu_jax.files import OTHER_PLACE, whole_folder
from fgu_jax.progress import Progress


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was prepared, and what was met on the way.

    Attributes:
      root: the TFDS folder.
      again: whether it stood there already, made from the same files.
      doubt: why these may be other pictures all the same; empty where it is known.
      counts: images, identities, cameras that were found.
      published: what the dataset's own paper counts; empty where there is none.
      found: other things counted, such as ``Thumbs.db``.
      skipped: images that cannot be read, with the reason of each.
      reading: what was taken of the files that are there, and what was left out.
    """

    root: Path
    again: bool
    doubt: str = ""
    counts: Mapping[str, int]
    published: Mapping[str, int] = field(default_factory=dict)
    found: Mapping[str, int] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    reading: Reading | None = None


def prepare(
    name: str,
    source: str | Path | None,
    *,
    data_dir: str | Path,
    pattern: str | None = None,
    table: str | Path | None = None,
    settings: Settings | None = None,
    skip_bad: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Writes a dataset to ``data_dir/NAME/VERSION``, where ``load_dataset`` finds it.

    Every image is decoded once, to see that it can be. Nothing is written under the
    final name before all is written. Preparing the same files again writes nothing:
    the same names, labels, boxes, tracks and bytes. Of what an earlier version prepared
    only names and labels can be compared; ``Report.doubt`` says so.

    Args:
      name: as for ``load_dataset``.
      source: archive (zip, tar) or folder; None for ``synthetic``.
      data_dir: where the prepared dataset goes.
      pattern, table: of ``folder``, as for ``load_dataset``.
      settings: of ``synthetic``.
      skip_bad: leave out images that cannot be read, instead of refusing them.
      overwrite: replace what was prepared from other files.
      progress: called with (done, total, what).

    Raises:
      InputError: the source is missing, damaged, hostile or another dataset; an image
        cannot be read; another dataset is prepared there; the disk is full.
    """
    name, data_dir = canonical_name(name), Path(data_dir)
    root = data_dir / name / VERSION
    if name != "folder" and (pattern is not None or table is not None):
        raise InputError(f"pattern and table are for the dataset 'folder', not {name}")
    if (source is None) != (name == "synthetic"):
        raise InputError(
            "synthetic is drawn: leave out the source"
            if name == "synthetic"
            else f"{name} needs a source: name its archive or folder"
        )
    labels = {"pattern": pattern, "table": read_table(table)}
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"data_dir {str(data_dir)!r}: {error.strerror}") from error
    made = digest_of(labels)
    if name == "synthetic":
        settings = settings or Settings()
        source, made = write_synthetic(settings, data_dir, progress), settings.digest()
    assert source is not None
    with open_tree(source, scratch=data_dir, strip_top=name == "folder") as tree:
        layout = _layout(name, tree, labels)
        report = Report(
            root=root,
            again=True,
            counts=count(layout),
            published=PUBLISHED[name].counts if name in PUBLISHED else {},
            found={**layout.found, **_alike(layout)},
            reading=layout.reading,
        )
        before = None if overwrite else find_prepared(name, data_dir)
        if before is not None:
            return _same(before, report, layout, made, _source(tree), progress)
        seen = Digesting(_source(tree))
        skipped = _check(layout, seen, tree.where, skip_bad, progress)
        note = {"made": made, "skipped": skipped, "source": _digest(layout)}
        # Of what was read before it is written: a file that changes in between is
        # another one the next time, never taken for the one that is prepared.
        note["content"] = content_of(layout, seen.digests)
        reading = _skipping(report, skipped).reading
        note["told"] = ["when it was prepared:", *(reading.lines() if reading else ())]
        with whole_folder(root, mend=OTHER_PLACE) as half:
            _write(name, _without(layout, skipped), tree, half, note, progress)
    return _skipping(replace(report, again=False), skipped)


def _layout(name: str, tree: Tree, labels: Mapping[str, str | None]) -> Layout:
    if name == "synthetic":
        return read_market(tree, MARKET)
    if name == "folder":
        return read_folder(tree, pattern=labels["pattern"], table=labels["table"])
    return PUBLISHED[name].layout(tree)


def _same(
    before: Prepared,
    report: Report,
    layout: Layout,
    made: str,
    source: Source,
    progress: Progress | None,
) -> Report:
    """The report of what stands there already, if it was made from the same files."""
    note, doubt = before.metadata, ""
    if (note.get("source"), note.get("made")) != (_digest(layout), made):
        raise _other(before, "was prepared from other files or labels")
    if "content" not in note:
        doubt = (
            "it was prepared by an earlier version, which kept names and labels alone: "
            "if pictures, boxes or tracks have changed since, add --overwrite"
        )
    elif note["content"] != content_of(layout, read_all(layout, source, progress)):
        raise _other(
            before, "was prepared from files of these names with other contents"
        )
    return _skipping(replace(report, root=before.root, doubt=doubt), note["skipped"])


def _other(before: Prepared, why: str) -> InputError:
    return InputError(
        f"{str(before.root)!r} {why}: name another data_dir, or replace it with "
        "--overwrite"
    )


def _skipping(report: Report, skipped: Mapping[str, str]) -> Report:
    reading = report.reading and report.reading.without(skipped)
    return replace(report, skipped=skipped, reading=reading)


def _digest(layout: Layout) -> str:
    """A name for what a source holds: all names and labels, before any is skipped.

    Earlier versions have this one and no other; ``content_of`` adds the rest.
    """
    rows = {
        split: repr(sorted(f"{e.name!r} {e.identity} {e.camera}" for e in entries))
        for split, entries in layout.splits.items()
    }
    return digest_of(rows)


def _alike(layout: Layout) -> dict[str, int]:
    """Names that a disk which ignores case would take for one; here both stay."""
    folded = Counter(
        (split, entry.name.casefold())
        for split, entries in layout.splits.items()
        for entry in entries
    )
    alike = sum(times for times in folded.values() if times > 1)
    return {"names that differ in case only": alike} if alike else {}


def _source(tree: Tree) -> Source:
    return FolderSource(tree.root) if isinstance(tree, FolderTree) else tree


def _check(
    layout: Layout,
    source: Source,
    where: str,
    skip_bad: bool,
    progress: Progress | None,
) -> dict[str, str]:
    """Names of unreadable images with their reasons; they are refused by default."""
    entries = [entry for split in layout.splits.values() for entry in split]
    images = ImageSet(
        names=tuple(str(entry.key) for entry in entries),
        keys=tuple(entry.key for entry in entries),
        source=source,
        boxes=tuple(entry.box for entry in entries),
    )
    bad = images.find_bad(progress=progress)
    if bad and not skip_bad:
        raise InputError(describe_bad(bad, len(images)))
    if len(bad) == len(images):
        raise InputError(f"{where}: none of its {len(bad)} images can be read")
    return bad


def _without(layout: Layout, skipped: Mapping[str, str]) -> Layout:
    splits = {
        split: [entry for entry in entries if str(entry.key) not in skipped]
        for split, entries in layout.splits.items()
    }
    return replace(layout, splits=splits)


def _write(
    name: str,
    layout: Layout,
    tree: Tree,
    folder: Path,
    note: dict,
    progress: Progress | None,
) -> None:
    """Writes the records and the metadata into an empty folder."""
    import tensorflow_datasets as tfds

    from fgu_jax.data.prepared.tfds_builder import builder_of

    total, done = sum(len(entries) for entries in layout.splits.values()), 0

    def written(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None and (done % 64 == 0 or done == total):
            progress(done, total, "writing records")

    scratch = folder.parent / "tfds"
    tfds.disable_progress_bar()
    builder = builder_of(name)(data_dir=scratch, file_format="array_record")
    builder.tree, builder.layout, builder.note = tree, layout, note
    builder.written = written
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare()
    except RuntimeError as error:
        # The record writer's own error, for a disk that is full among others.
        raise OSError(str(error).partition(";")[0]) from error
    for path in Path(builder.data_dir).iterdir():
        path.rename(folder / path.name)
