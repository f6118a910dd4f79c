"""What a provider's own publication says of its resource types: names, required inputs, changes that replace.

`python -m tests.support.published_schema SCHEMA TOKEN...` takes it out of a schema file that a provider publishes
(`provider/cmd/pulumi-resource-NAME/schema.json` of its repository, or `pulumi package get-schema NAME`), for the types
named, as the JSON of `schemas/eks.json`, which was made so from pulumi-eks 4.

The schema of the aws provider is too large for where this was written. So `sdk_inputs` reads names and required inputs
from the installed SDK, which is generated from that schema, and `schemas/aws.json` holds which changes replace, read by
hand from the files of terraform-provider-aws that it names: `ForceNew` and `RequiresReplace` of the attributes, and as
`replacesBy` what `CustomizeDiff` decides by the kind of change. The real provider is a bridge to exactly these.
"""

from __future__ import annotations

import ast
import importlib.metadata
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

SCHEMAS = Path(__file__).parent / "schemas"
_REPLACING = ("willReplaceOnChanges", "replaceOnChanges")


@dataclass(frozen=True)
class SdkInputs:
    """The inputs of a resource type by their names on the wire."""

    names: frozenset[str]
    required: frozenset[str]


def recorded(package: str) -> dict[str, Any]:
    """The facts that are kept of a package, by the types' tokens."""
    return cast("dict[str, Any]", json.loads((SCHEMAS / f"{package}.json").read_text())["types"])


def extract(schema: Mapping[str, Any], tokens: list[str]) -> dict[str, Any]:
    """The facts of these types in a published schema."""
    return {
        token: {
            "inputs": sorted(found.get("inputProperties", {})),
            "required": sorted(found.get("requiredInputs", [])),
            "replaces": sorted(_replacing(schema, found.get("inputProperties", {}))),
        }
        for token, found in ((token, schema["resources"][token]) for token in tokens)
    }


def _replacing(schema: Mapping[str, Any], properties: Mapping[str, Any]) -> Iterator[str]:
    for name, described in properties.items():
        if any(described.get(flag) for flag in _REPLACING):
            yield name
            continue
        kind = str(described.get("$ref", "")).removeprefix("#/types/")
        parts = schema.get("types", {}).get(kind, {}).get("properties", {})
        yield from (f"{name}.{part}" for part, inner in parts.items() if any(inner.get(flag) for flag in _REPLACING))


def sdk_inputs(package: str, module: str, kind: str) -> SdkInputs:
    """What the constructor of a resource takes in the installed SDK; read, not imported, for that takes seconds."""
    distribution = importlib.metadata.distribution(f"pulumi-{package}")
    path = Path(str(distribution.locate_file(f"pulumi_{package}/{module}.py")))
    classes = {node.name: node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)}
    # The plain name is of the inputs of a part where a part has the resource's name.
    taken = classes.get(f"{kind}InitArgs") or classes[f"{kind}Args"]
    methods = [node for node in taken.body if isinstance(node, ast.FunctionDef)]
    # A property's getter comes before its setter, and has the name.
    wire = {method.name: _wire_name(method) for method in reversed(methods)}
    (made,) = (method.args for method in methods if method.name == "__init__")
    positional = made.args[1:]
    given = [None] * (len(positional) - len(made.defaults)) + list(made.defaults) + list(made.kw_defaults)
    all_given = [*positional, *made.kwonlyargs]
    required = {wire[arg.arg] for arg, default in zip(all_given, given, strict=True) if default is None}
    return SdkInputs(frozenset(wire[arg.arg] for arg in all_given), frozenset(required))


def snake(name: str) -> str:
    """`BucketPolicy` as a module's name."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _wire_name(method: ast.FunctionDef) -> str:
    named = [
        str(ast.literal_eval(keyword.value))
        for decorator in method.decorator_list
        if isinstance(decorator, ast.Call)
        for keyword in decorator.keywords
        if keyword.arg == "name"
    ]
    return named[0] if named else method.name


if __name__ == "__main__":
    published = json.loads(Path(sys.argv[1]).read_text())
    print(json.dumps({"types": extract(published, sys.argv[2:])}, indent=2))
