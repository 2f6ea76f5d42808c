"""croissant.json: the dataset in MLCommons Croissant 1.1, so that search engines and tools can read what it holds.

It describes and is not meant as a way to load. One record set a member type, since mlcroissant 1.1 cannot join two member types
of a tar; a FileObject a shard up to `MAX_FILE_OBJECTS`, beyond that the wids index (which names each shard's sha256) for all,
and a pattern of tars, which mlcroissant 1.1 validates and cannot unpack.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from .indexes import wids_index
from .manifest import Dataset, FlowCounts, Shard, by_flow, describe_file, group_shards

MAX_FILE_OBJECTS = 1000
CONFORMS_TO = "http://mlcommons.org/croissant/1.1"

Node = dict[str, Any]

# member suffix -> media type; name, data type and description of the field that holds its content. mlcroissant 1.1 hands over a
# member of a tar as bytes and applies no JSON path to it, so a .json member is one field.
_MEMBERS = {
    "jpg": ("image/jpeg", "image", "sc:ImageObject", "The image, byte for byte as found; its true format is in the .json member."),
    "json": ("application/json", "json", "sc:Text", "A JSON object: key, source, the text where there is one, measured values, meta."),
    "txt": ("text/plain", "text", "sc:Text", "The text or caption in UTF-8."),
}
_OTHER = ("application/octet-stream", "content", "sc:Text", "The member's bytes.")

_CONTEXT: Node = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    **{
        term: f"cr:{term}"
        for term in (
            *("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileObject", "fileProperty"),
            *("fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet"),
            *("references", "regex", "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform"),
        )
    },
}


def describe(dataset: Dataset) -> bytes:
    """The bytes of croissant.json; `dataset.files` is not looked at, so the manifest can name this file."""
    distribution: list[Node] = []
    record_sets: list[Node] = []
    for flow, shards in by_flow(dataset.shards).items():
        many = len(shards) > MAX_FILE_OBJECTS
        distribution += [_index_object(dataset.name, flow, shards)] if many else [_shard_object(shard) for shard in shards]
        for split, of_split in group_shards(shards, lambda shard: shard.split).items():
            place = f"{flow}/{split}"
            distribution += [_shard_set(place)] if many else []
            inside = [place] if many else [shard.path for shard in of_split]
            distribution += [_member_set(place, suffix, inside) for suffix in dataset.members[flow]]
            record_sets += [_record_set(place, suffix) for suffix in dataset.members[flow]]
    head = {"@context": _CONTEXT, "@type": "sc:Dataset", "conformsTo": CONFORMS_TO, "name": dataset.name, "identifier": dataset.dataset_id}
    body = {**head, **_optional(dataset), "distribution": distribution, "recordSet": record_sets}
    return orjson.dumps(body, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _optional(dataset: Dataset) -> Node:
    description, licence = str(dataset.recipe.get("description") or ""), str(dataset.recipe.get("licence") or "")
    samples = sum(shard.samples for shard in dataset.shards)
    nodes: Node = {"description": description or f"{samples:,} samples in {len(dataset.shards):,} WebDataset shards, curated by d4a."}
    if licence:
        nodes["license"] = licence
    nodes["rai:dataPreprocessingProtocol"] = [line for flow, counts in sorted(dataset.flows.items()) for line in _protocol(flow, counts)]
    return nodes


def _protocol(flow: str, counts: FlowCounts) -> Iterator[str]:
    yield f"{flow}: {counts.records:,} records read, {counts.unreadable:,} of them unreadable, {counts.kept:,} kept"
    for stage in counts.stages:
        yield f"{flow}: {stage.label} ({stage.use}): {stage.dropped:,} of {stage.entered:,} records dropped"


def _shard_object(shard: Shard) -> Node:
    return {
        "@type": "cr:FileObject",
        "@id": shard.path,
        "name": shard.path,
        "contentUrl": shard.path,
        "contentSize": f"{shard.bytes} B",
        "encodingFormat": "application/x-tar",
        "sha256": shard.sha256,
    }


def _index_object(name: str, flow: str, shards: Sequence[Shard]) -> Node:
    path = f"{flow}/index.json"
    index = describe_file(wids_index(f"{name}/{flow}", shards, flow))
    return {
        "@type": "cr:FileObject",
        "@id": path,
        "name": path,
        "description": "wids index: the sha256 of every shard.",
        "contentUrl": path,
        "contentSize": f"{index.bytes} B",
        "encodingFormat": "application/json",
        "sha256": index.sha256,
    }


def _shard_set(place: str) -> Node:
    return {"@type": "cr:FileSet", "@id": place, "name": place, "encodingFormat": "application/x-tar", "includes": f"{place}/*.tar"}


def _member_set(place: str, suffix: str, inside: Sequence[str]) -> Node:
    return {
        "@type": "cr:FileSet",
        "@id": f"{place}/*.{suffix}",
        "name": f"{place}/*.{suffix}",
        "containedIn": [{"@id": name} for name in inside],
        "encodingFormat": _MEMBERS.get(suffix, _OTHER)[0],
        "includes": f"*.{suffix}",
    }


def _record_set(place: str, suffix: str) -> Node:
    _, name, data_type, description = _MEMBERS.get(suffix, _OTHER)
    key = _field(place, suffix, "key", "sc:Text", "Name of the sample's members before the first dot.")
    key["source"] |= {"extract": {"fileProperty": "filename"}, "transform": {"regex": r"^([^.]*)\."}}
    return {
        "@type": "cr:RecordSet",
        "@id": f"{place}/{suffix}",
        "name": f"{place}/{suffix}",
        "key": {"@id": key["@id"]},
        "field": [key, _field(place, suffix, name, data_type, description)],
    }


def _field(place: str, suffix: str, name: str, data_type: str, description: str) -> Node:
    full = f"{place}/{suffix}/{name}"
    source: Node = {"fileSet": {"@id": f"{place}/*.{suffix}"}, "extract": {"fileProperty": "content"}}
    return {"@type": "cr:Field", "@id": full, "name": full, "description": description, "dataType": data_type, "source": source}
