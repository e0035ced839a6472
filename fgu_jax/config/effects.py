"""Fields that have no effect given others' values, and so which runs are the same."""

from collections.abc import Mapping
from typing import Any

from fgu_jax.config.fields import FIELDS, TRAITS, Config, fields_of
from fgu_jax.config.traits import Not
from fgu_jax.errors import InputError


def ruled_out(config: Config) -> dict[str, list[str]]:
    """Fields that have no effect given another field's value, by that one's name.

    >>> ruled_out(Config(patch_generator="affine"))["clustering"]
    ['kmeans_clusters', 'reliability']
    """
    found: dict[str, list[str]] = {}
    for name, of in TRAITS.items():
        for decides, value in of.unless.items():
            named = value.value if isinstance(value, Not) else value
            has_it = getattr(config, decides) == named
            if has_it != isinstance(value, Not):
                found.setdefault(decides, []).append(name)
    return dict(sorted(found.items()))


def refuse_without_effect(config: Config, given: Mapping[str, Any]) -> None:
    """Refuses fields that a user gave though another field rules them out.

    A weight of 0 refuses nothing: it is one of many values that are tried.

    Args:
      config: of the run.
      given: fields and values, as a user gave them; defaults pass.

    Raises:
      InputError: names the fields, and the one that decides.

    >>> given = {"train_patch_generator": True}
    >>> refuse_without_effect(Config(**given), given)
    Traceback (most recent call last):
    ...
    fgu_jax.errors.InputError: train_patch_generator is True, which does nothing with \
patch_generator 'stripes': leave it out
    """
    for decides, fields in ruled_out(config).items():
        value = getattr(config, decides)
        wrong = [k for k in given if k in fields and given[k] != FIELDS[k].default]
        if wrong and (value is None or isinstance(value, str)):
            named = "none" if value is None else repr(value)
            what = ", ".join(f"{name} is {given[name]!r}" for name in wrong)
            raise InputError(
                f"{what}, which does nothing with {decides} {named}: leave "
                f"{'it' if len(wrong) == 1 else 'them'} out"
            )


def without_effect(config: Config) -> frozenset[str]:
    """Fields whose value moves no figure of a run's evaluation.

    >>> found = without_effect(Config(patch_weight=0.0))
    >>> "num_neighbors" in found, "kmeans_clusters" in found, "temperature" in found
    (True, True, False)
    """
    found = {name for names in ruled_out(config).values() for name in names}
    merges = config.clustering == "merge"
    never = not any(map(config.regroups_after, range(config.epochs + 1)))
    if never or (merges and not config.learns_clusters):
        found.update(fields_of("merging", "regrouping"))
    if never and merges and config.attract_start == "merge":  # which never comes
        found.update(("attract_weight", "centres"))
    return frozenset(found)


def figures_key(config: Config) -> tuple[Any, ...]:
    """Equal for configurations whose runs have the same figures of evaluation.

    >>> import dataclasses
    >>> off = Config(patch_weight=0.0)
    >>> figures_key(off) == figures_key(dataclasses.replace(off, num_neighbors=3))
    True
    """
    aside = without_effect(config).union(fields_of("folder"))
    return tuple(
        field.default if name in aside else getattr(config, name)
        for name, field in FIELDS.items()
    )
