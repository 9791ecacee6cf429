"""Write the TypeScript types of what travels between the halves, from its schemas.

`labextension/wire` has what a kernel and its browsers say, `aml_jupyter/server/api.json` what the
server and its pages say. With `--check` nothing is written, only compared.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
WIRE = ROOT / "labextension" / "wire"
API = ROOT / "aml_jupyter" / "server" / "api.json"
SOURCES = ROOT / "labextension" / "src"
HEADER = "// Generated from {} by scripts/generate_types.py; edit the schemas instead.\n"
PRIMITIVES = {"string": "string", "number": "number", "integer": "number", "boolean": "boolean"}

# A schema is JSON from a file: its shape is only known once it is looked at.
Schema = Mapping[str, Any]


def main() -> int:
    """Write the types, or with `--check` say whether they are up to date."""
    wanted = {SOURCES / "protocol.ts": protocol(), SOURCES / "api.ts": api()}
    if "--check" not in sys.argv[1:]:
        for path, text in wanted.items():
            path.write_text(text, encoding="utf-8")
        return 0
    old = [path for path, text in wanted.items() if not is_written(path, text)]
    for path in old:
        print(f"{path.relative_to(ROOT)} is out of date: run scripts/generate_types.py")
    return 1 if old else 0


def is_written(path: Path, text: str) -> bool:
    """Tell whether a file has this text."""
    return path.exists() and path.read_text(encoding="utf-8") == text


def protocol() -> str:
    """Return the TypeScript text of what a kernel and its browsers say."""
    schemas = [json.loads(path.read_text("utf-8")) for path in sorted(WIRE.glob("*.schema.json"))]
    header = HEADER.format("labextension/wire")
    return header + "".join(text for schema in schemas for text in interfaces(schema))


def api() -> str:
    """Return the TypeScript text of what the server and its pages say."""
    schema = json.loads(API.read_text("utf-8"))
    definitions = schema["$defs"]
    foreign = ", ".join(sorted(foreign_types(definitions)))
    text = HEADER.format("aml_jupyter/server/api.json")
    text += f"\nimport type {{ {foreign} }} from './protocol';\n"
    text += "\n/** The version of the schema that this page speaks. */\n"
    text += f"export const API = {schema['version']};\n"
    return text + "".join(interface(name, each) for name, each in definitions.items())


def foreign_types(schema: Any) -> set[str]:
    """Return the names of types that a schema takes from the other file."""
    if isinstance(schema, list):
        return set().union(*map(foreign_types, schema))
    if not isinstance(schema, dict):
        return set()
    own = {schema["$ref"]} if schema.get("x-from") == "protocol" else set()
    return own.union(*map(foreign_types, schema.values()))


def interfaces(schema: Schema) -> Iterator[str]:
    """Yield one interface for the schema and one for each of its definitions."""
    yield interface(schema["title"], schema)
    for name, definition in schema.get("$defs", {}).items():
        yield interface(name, definition)


def interface(name: str, schema: Schema) -> str:
    """Return `schema`, an object, as an exported interface."""
    required = set(schema.get("required", ()))
    members = [
        f"{comment(member, '  ')}  {key}{'' if key in required else '?'}: {type_of(member)};\n"
        for key, member in schema["properties"].items()
    ]
    return f"\n{comment(schema, '')}export interface {name} {{\n{''.join(members)}}}\n"


def comment(schema: Schema, indent: str) -> str:
    """Return the schema's description as a line of documentation, or nothing."""
    text = schema.get("description")
    return f"{indent}/** {text} */\n" if text else ""


def type_of(schema: Schema) -> str:
    """Return the TypeScript type of one value."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if schema.get("x-any"):
        return "unknown"
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    if "oneOf" in schema:
        return " | ".join(type_of(option) for option in schema["oneOf"])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return " | ".join(type_of_kind(kind, schema) for kind in kinds)


def type_of_kind(kind: str, schema: Schema) -> str:
    """Return the TypeScript type of one JSON type, looking into arrays."""
    if kind == "null":
        return "null"
    if kind == "array":
        items = type_of(schema["items"])
        return f"({items})[]" if " " in items else f"{items}[]"
    if kind == "object":
        return f"Readonly<Record<string, {type_of(schema['additionalProperties'])}>>"
    return PRIMITIVES[kind]


if __name__ == "__main__":
    sys.exit(main())
