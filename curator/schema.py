"""JSON Schema of a recipe as it is written in YAML, for editors: generated from the models, one definition a built-in stage.

`python -m d4a.curator.schema` prints it. What YAML adds to the models (`use`, `as`, `extends`, 256MiB) is put in here;
what needs two options at once is left to the loader.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from .catalog import builtin, describe
from .load.stages import FLOWS, LABEL, works_on
from .recipe import Recipe, StageSpec, parse_bytes
from .registry import stage_class

Schema = dict[str, Any]

_SIZE = r"^\s*[0-9]+(\.[0-9]+)?\s*([kMGT]?B|[KMGT]iB)?\s*$"


class _Written(GenerateJsonSchema):
    """Fields as they may be written: sizes and mappings with a short form also as text, no titles made from field names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Never: a title made from a field's name says nothing new."""
        return False

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        """What a validator sees first: of sizes the form is known, of mappings at least that there is one."""
        inner = super().function_before_schema(schema)
        if schema["function"]["function"] is parse_bytes:
            return {"anyOf": [inner, {"type": "string", "pattern": _SIZE}]}
        return {"anyOf": [inner, {"type": "string"}]} if "$ref" in inner else inner


def recipe_schema() -> Schema:
    """JSON Schema (2020-12) of a recipe, with every stage that d4a itself brings."""
    schema = _of(Recipe, "")
    defs = schema["$defs"]
    flow, _ = defs.pop("Flow"), defs.pop("StageSpec")
    flows = [name for name in FLOWS if name in builtin("d4a.modalities")]
    for name in FLOWS:
        schema["properties"].pop(name)
    for name in flows:
        stages = [stage for stage in builtin("d4a.stages") if stage.split(".")[0] in works_on(name)]
        items = {"stages": flow["properties"]["stages"] | {"items": _any_of(stages)}}
        defs[name] = flow | {"title": f"{name} flow", "properties": flow["properties"] | items}
        schema["properties"][name] = {"anyOf": [{"$ref": f"#/$defs/{name}"}, {"type": "null"}], "default": None}
        defs.update({part: made for stage in stages for part, made in _stage(stage).items()})
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_with_extends(schema, flows)}


def _of(model: type[BaseModel], prefix: str) -> Schema:
    """The schema of a model, its nested models named with a prefix."""
    return model.model_json_schema(schema_generator=_Written, ref_template=f"#/$defs/{prefix}{{model}}")


def _any_of(stages: list[str]) -> Schema:
    """An entry of `stages`: `use` decides which definition the rest is held against."""
    branches = [
        {"if": {"properties": {"use": {"const": stage}}, "required": ["use"]}, "then": {"$ref": f"#/$defs/{stage}"}} for stage in stages
    ]
    use = {"enum": stages, "description": StageSpec.model_fields["use"].description}
    return {"type": "object", "required": ["use"], "properties": {"use": use}, "allOf": branches}


def _stage(name: str) -> dict[str, Schema]:
    """The definition of one stage, and those of the mappings in its options."""
    options = _of(stage_class(name).Options, f"{name}.")
    nested = {f"{name}.{model}": made for model, made in options.pop("$defs", {}).items()}
    own = {
        "use": {"const": name},
        "as": {"type": "string", "pattern": LABEL, "description": StageSpec.model_fields["label"].description},
        "mode": _of(StageSpec, "")["properties"]["mode"],
    }
    stage = options | {"title": name, "description": describe(name).summary, "properties": own | options["properties"]}
    return {name: stage | {"required": ["use", *options.get("required", [])]}, **nested}


def _with_extends(schema: Schema, flows: list[str]) -> Schema:
    """What is required may also come from the recipe that this one extends."""
    defs = schema["$defs"]
    parts = {"output": {"required": defs["Output"].pop("required")}, **{flow: {"required": defs[flow].pop("required")} for flow in flows}}
    whole = {"required": schema.pop("required"), "anyOf": [{"required": [flow]} for flow in flows], "properties": parts}
    extends = {"type": "string", "description": "A file beside this one, or a shipped recipe: mappings merge, everything else replaces."}
    schema["properties"] = {"extends": extends, **schema["properties"]}
    return schema | {"title": "d4a recipe", "if": {"required": ["extends"]}, "else": whole}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(recipe_schema(), indent=2, ensure_ascii=False) + "\n")
