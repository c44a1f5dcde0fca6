"""The OpenAPI document as the page `/docs` shows it: what each operation takes, an example, and what it answers."""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

Schema = dict[str, Any]

_PREFIX = "#/components/schemas/"


class Field(NamedTuple):
    """A parameter, or a field of a schema. `of` is the name of the schema that it has, if it has one."""

    name: str
    where: str
    kind: str
    of: str
    required: bool
    description: str
    example: str


class Body(NamedTuple):
    """What a request carries."""

    content_type: str
    kind: str
    of: str
    example: str


class Answer(NamedTuple):
    """A status, when it comes, the schema of its body, and its headers."""

    status: str
    description: str
    of: str
    headers: list[Field]


class Operation(NamedTuple):
    """A method of a path. `endless` is an answer that goes on, such as a stream of events."""

    id: str
    method: str
    path: str
    paragraphs: list[str]
    fields: list[Field]
    body: Body | None
    answers: list[Answer]
    secured: bool
    endless: bool


def operations(document: Schema) -> list[Operation]:
    """Return all operations, in the order of the document."""
    known = document["components"]["schemas"]
    return [
        _operation(path, method, operation, known)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def schemas(document: Schema) -> dict[str, list[Field]]:
    """Return the fields of each schema; one without fields has its values in a single field without a name."""
    return {
        name: list(_fields(schema, document["components"]["schemas"]))
        for name, schema in document["components"]["schemas"].items()
        if not name.endswith("ValidationError")
    }


def _operation(path: str, method: str, operation: Schema, known: Schema) -> Operation:
    answers = [_answer(status, answer) for status, answer in operation["responses"].items()]
    types = {kind for answer in operation["responses"].values() for kind in answer.get("content", {})}
    return Operation(
        id=operation["operationId"],
        method=method.upper(),
        path=path,
        paragraphs=operation["description"].split("\n\n"),
        fields=[
            _field(one["name"], one["schema"], known, where=one["in"], required=one.get("required", False), of=one)
            for one in operation.get("parameters", [])
        ],
        body=_body(operation.get("requestBody", {}), known),
        answers=answers,
        secured=bool(operation.get("security")),
        endless="text/event-stream" in types,
    )


def _body(body: Schema, known: Schema) -> Body | None:
    for content_type, content in body.get("content", {}).items():
        schema = content["schema"]
        example = _example(schema, known)
        text = json.dumps(example, indent=2) if content_type == "application/json" else "any bytes"
        return Body(content_type, _kind(schema), _reference(schema), text)
    return None


def _answer(status: str, answer: Schema) -> Answer:
    contents = [content.get("schema", {}) for content in answer.get("content", {}).values()]
    headers = [
        _field(name, header["schema"], {}, required=header["required"], of=header)
        for name, header in answer.get("headers", {}).items()
    ]
    return Answer(status, answer["description"], _reference(contents[0]) if contents else "", headers)


def _fields(schema: Schema, known: Schema) -> Iterable[Field]:
    required = schema.get("required", [])
    for name, field in schema.get("properties", {}).items():
        yield _field(name, field, known, required=name in required, of=field)
    if "properties" not in schema:
        yield _field("", schema, known, of=schema)


def _field(name: str, schema: Schema, known: Schema, *, of: Schema, where: str = "", required: bool = False) -> Field:
    return Field(
        name=name,
        where=where,
        kind=_kind(schema),
        of=_reference(schema),
        required=required,
        description=of.get("description", ""),
        example=str(_example(schema, known)) if required or "default" in schema else "",
    )


def _reference(schema: Schema) -> str:
    """The name of the schema that this one is, or is a list of."""
    inner = schema.get("items", schema)
    for each in (inner, *inner.get("anyOf", ())):
        if "$ref" in each:
            return str(each["$ref"]).removeprefix(_PREFIX)
    return ""


def _kind(schema: Schema) -> str:
    """What a value is, in words: `integer from 1`, `list of Breaker`."""
    if "$ref" in schema:
        return _reference(schema)
    if "anyOf" in schema:
        return " or ".join(_kind(each) for each in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return " | ".join(map(str, schema.get("enum", [schema.get("const")])))
    if "items" in schema:
        return f"list of {_kind(schema['items'])}"
    words = [schema.get("type", "anything")]
    words += [f"{word} {_number(schema, key)}" for key, word in _BOUNDS.items() if key in schema]
    return " ".join(words)


_BOUNDS = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}


def _example(schema: Schema, known: Schema) -> Any:
    """A value that is taken."""
    if "$ref" in schema:
        return _example(known[_reference(schema)], known)
    for key in ("default", "example", "const"):
        if key in schema:
            return schema[key]
    if "enum" in schema:
        return schema["enum"][0]
    if "properties" in schema:
        needed = schema.get("required", [])
        fields = schema["properties"].items()
        return {name: _example(field, known) for name, field in fields if name in needed or "default" in field}
    if schema.get("type") in {"integer", "number"}:
        return _number(schema, "minimum") if "minimum" in schema else 1
    return "text"


def _number(schema: Schema, key: str) -> int | float:
    return int(schema[key]) if schema[key] == int(schema[key]) else schema[key]
