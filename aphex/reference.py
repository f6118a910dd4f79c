"""The references of aphex-config.yaml and aphex-cluster.yaml for people, generated from the models and the examples.

What is said of a field comes from its model: description, type, default, limits and, as the docstrings of the model's
validators, the rules that no type can express. How it is written comes from the annotated example configurations.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema
from ruamel.yaml import YAML

from aphex.reference_pages import PIPELINE, Page, page_of

Schema = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One key of the file.

    Attributes:
        path: where it is, such as `environments[].stacks[].name`.
        kind: its type in words.
        required: whether its mapping cannot be without it.
        description: what it means.
        default: its default as YAML on one line; empty when there is none to show.
        limits: what its value has to be, in words.
        rules: what has to hold between the keys of its mapping, in words.
        shorthand: the key whose value may stand for the whole mapping; empty when none may.
        same_as: path of the setting whose keys it has, when they have been told there; empty otherwise.
        composite: whether its value has keys of its own that are settings.
    """

    path: str
    kind: str
    required: bool
    description: str
    default: str = ""
    limits: Sequence[str] = ()
    rules: Sequence[str] = ()
    shorthand: str = ""
    same_as: str = ""
    composite: bool = False


def anchor(path: str) -> str:
    """The heading's anchor, by the rule of GitHub and MyST: letters, digits, dashes and underscores, in lower case."""
    return re.sub(r"[^a-z0-9_-]", "", path.lower())


def settings(page: Page = PIPELINE) -> list[Setting]:
    """Every key of the file, in the file's order; the keys of a model that occurs again are told where it is first."""
    return list(_Walk(page.model).keys_of(page.model.__name__, ""))


def rules(page: Page = PIPELINE) -> tuple[str, ...]:
    """What has to hold between the keys at the top of the file."""
    return _rules(page.model)


def reference(examples: Sequence[Any], page: Page = PIPELINE) -> str:
    """The whole page.

    Args:
        examples: documents of example configurations; of each setting the first value that is found is shown.
        page: which file it is of.
    """
    listed = settings(page)
    lines = [page.introduction, "## All settings", "", *_items(rules(page))]
    lines += ["| setting | what it is | default |", "| --- | --- | --- |"]
    for setting in listed:
        default = "**required**" if setting.required else f"`{setting.default}`" if setting.default else ""
        summary = re.split(r"(?<=[.!?]) (?=[A-Z])", setting.description)[0]
        lines.append(f"| [`{setting.path}`](#{anchor(setting.path)}) | {summary} | {default} |")
    lines.append("")
    for setting in listed:
        lines += _text(setting, examples)
    return "\n".join(lines).rstrip("\n") + "\n"


class _Walk:
    """Goes through the models as the file nests them."""

    def __init__(self, root: type[BaseModel]) -> None:
        schema = root.model_json_schema(schema_generator=_Untitled)
        self._schemas: Mapping[str, Schema] = {**schema["$defs"], root.__name__: schema}
        self._models = {model.__name__: model for model in _models(root)}
        self._told: dict[str, str] = {}

    def keys_of(self, name: str, prefix: str) -> Iterator[Setting]:
        """The settings of a model, each followed by those below it."""
        body = next(each for each in self._alternatives(name) if "properties" in each)
        for key, schema in body["properties"].items():
            setting, model = self._setting(prefix + key, schema, required=key in body.get("required", ()))
            yield setting
            if model and not setting.same_as:
                self._told[model] = setting.path
                yield from self.keys_of(model, setting.path + ("[]." if _is_list(_given(schema)) else "."))

    def _setting(self, path: str, schema: Schema, *, required: bool) -> tuple[Setting, str]:
        value = _given(schema)
        model = _referred(value) or _referred(value.get("items", {}))
        default = schema.get("default")
        setting = Setting(
            path=path,
            kind=self._kind(value),
            required=required,
            description=_sentence(schema.get("description") or self._models[model].__doc__),
            default="" if default in (None, [], {}) else _inline(default),
            limits=tuple(_limits(value)),
            rules=_rules(self._models[model]) if model else (),
            shorthand=self._shorthand(model) if model else "",
            same_as=self._told.get(model, ""),
            composite=bool(model),
        )
        return setting, model

    def _alternatives(self, name: str) -> Sequence[Schema]:
        schema = self._schemas[name]
        return tuple(schema.get("anyOf", (schema,)))

    def _shorthand(self, name: str) -> str:
        return next(iter(self._models[name].model_fields)) if len(self._alternatives(name)) > 1 else ""

    def _kind(self, schema: Schema) -> str:
        if _referred(schema):
            return "a text or a mapping" if self._shorthand(_referred(schema)) else "mapping"
        if "title" in schema:
            return str(schema["title"])
        if "const" in schema:
            return f"always `{_inline(schema['const'])}`"
        if "enum" in schema:
            return "one of " + ", ".join(f"`{_inline(value)}`" for value in schema["enum"])
        if _is_list(schema):
            each = self._kind(schema["items"])
            return f"list of {each}s" if each in ("text", "mapping") else f"list; each entry is {each}"
        if schema.get("type") == "object":
            return f"mapping of names to {self._kind(schema['additionalProperties'])}s"
        known = {"string": "text", "integer": "whole number", "boolean": "`true` or `false`"}
        return known.get(str(schema.get("type")), "value")


class _Untitled(GenerateJsonSchema):
    """Without the titles that pydantic makes of names: those that remain are the kinds of value."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        return False


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for info in model.model_fields.values():
        for kind in _types(info.annotation):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from _models(kind)


def _types(annotation: Any) -> Iterator[Any]:
    yield annotation
    for each in get_args(annotation):
        yield from _types(each)


def _given(schema: Schema) -> Schema:
    """The schema of a value that is given: without the null that stands for its absence."""
    return next((each for each in schema.get("anyOf", ()) if each.get("type") != "null"), schema)


def _referred(schema: Schema) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _is_list(schema: Schema) -> bool:
    return schema.get("type") == "array"


def _limits(schema: Schema) -> Iterator[str]:
    if schema.get("minItems"):
        yield "at least one entry" if schema["minItems"] == 1 else f"at least {schema['minItems']} entries"
    if "minimum" in schema:
        yield f"at least {schema['minimum']}"
    shortest, longest = schema.get("minLength", 0), schema.get("maxLength")
    if shortest > 1 and longest:
        yield f"{shortest} to {longest} characters"
    elif longest:
        yield f"at most {longest} characters"
    elif shortest == 1:
        yield "not empty"
    if "pattern" in schema and "title" not in schema:
        yield f"of the form `{schema['pattern']}`"


def _rules(model: type[BaseModel]) -> tuple[str, ...]:
    """What the validators of a whole model ask for, by their docstrings."""
    validators = model.__pydantic_decorators__.model_validators.values()
    return tuple(_sentence(each.func.__doc__) for each in validators if each.info.mode == "after")


def _sentence(text: str | None) -> str:
    return " ".join((text or "").split())


def _inline(value: Any) -> str:
    """A value as YAML's flow style writes it, on one line."""
    if isinstance(value, str):
        return json.dumps(value) if re.fullmatch(r"[\d.]+", value) else value
    return json.dumps(value, ensure_ascii=False).replace('"', "")


def _text(setting: Setting, examples: Sequence[Any]) -> list[str]:
    """What the page says of one setting."""
    level = "##" if "." not in setting.path else "###"
    facts = [setting.kind, "required" if setting.required else "optional", *setting.limits]
    if setting.default:
        facts.append(f"default `{setting.default}`")
    lines = [f"{level} `{setting.path}`", "", setting.description, "", f"{_capital('; '.join(facts))}.", ""]
    if setting.shorthand:
        lines += [f"A text is short for a mapping with nothing but `{setting.shorthand}`.", ""]
    if setting.same_as:
        lines += [f"The keys are those of [`{setting.same_as}`](#{anchor(setting.same_as)}).", ""]
    lines += _items(setting.rules if not setting.same_as else ())
    if setting.composite and not setting.shorthand:
        return lines
    value = next((value for document in examples for value in _values(document, setting.path.split("."))), None)
    if value is not None:
        lines += ["```yaml", *_yaml({setting.path.rpartition(".")[2]: value}).splitlines(), "```", ""]
    return lines


def _items(texts: Sequence[str]) -> list[str]:
    return [*(f"- {text}" for text in texts), ""] if texts else []


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _values(node: Any, keys: Sequence[str]) -> Iterator[Any]:
    """Every value of a document that a path of a setting means."""
    if not keys:
        yield node
        return
    key = keys[0].removesuffix("[]")
    if isinstance(node, Mapping) and key in node:
        below = node[key]
        for each in below if keys[0].endswith("[]") else [below]:
            yield from _values(each, keys[1:])


def _yaml(value: Any) -> str:
    stream = StringIO()
    yaml = YAML(typ="safe")
    yaml.default_flow_style = False
    yaml.width = 100
    yaml.dump(value, stream)
    return stream.getvalue()


def read_examples(paths: Sequence[Path]) -> list[Any]:
    """The documents of example files."""
    return [YAML(typ="safe").load(path.read_text(encoding="utf-8")) for path in paths]


if __name__ == "__main__":
    file, *paths = sys.argv[1:]
    print(reference(read_examples([Path(path) for path in paths]), page_of(file)), end="")
