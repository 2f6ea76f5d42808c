"""The registry: stages and modalities by name, of every installed package.

Built-in stages register exactly as foreign ones do: a class named under the entry-point group `d4a.stages`.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points

from .errors import D4AError
from .modality import Modality
from .stage import Cut, Dedup, Filter, Stage, Transform


@cache
def _points(group: str) -> dict[str, EntryPoint]:
    """name -> entry point. Raises D4AError when two packages register different things under one name."""
    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=group), key=lambda p: (p.name, p.value)):
        other = found.setdefault(point.name, point)
        if other.value != point.value:
            raise D4AError(f"{point.name} is registered twice: {other.value} and {point.value}", hint="uninstall one of the two packages")
    return found


def stage_names() -> list[str]:
    """All stage names this installation knows, sorted."""
    return sorted(_points("d4a.stages"))


@cache
def stage_class(name: str) -> type[Stage]:
    """The class registered under a stage name. Raises KeyError for an unknown name, D4AError for one that does not import."""
    point = _points("d4a.stages")[name]
    try:
        loaded = point.load()
    except (ImportError, AttributeError) as error:
        raise D4AError(f"stage {name} ({point.value}) does not load: {error}", hint="reinstall the package that registers it") from error
    if not (isinstance(loaded, type) and issubclass(loaded, Transform | Filter | Dedup | Cut)):
        raise D4AError(f"stage {name} ({point.value}) is no Transform, Filter, Dedup or Cut")
    return loaded


@cache
def modality(name: str) -> Modality:
    """The modality registered under a name; one object a process."""
    loaded: Modality = _points("d4a.modalities")[name].load()()
    return loaded
