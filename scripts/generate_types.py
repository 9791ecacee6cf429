"""Write labextension/src/protocol.ts from the schemas in labextension/wire.

With `--check` nothing is written, only compared.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
WIRE = ROOT / "labextension" / "wire"
TARGET = ROOT / "labextension" / "src" / "protocol.ts"
HEADER = (
    "// Generated from labextension/wire by scripts/generate_types.py; edit the schemas instead.\n"
)
PRIMITIVES = {"string": "string", "number": "number", "integer": "number", "boolean": "boolean"}

# A schema is JSON from a file: its shape is only known once it is looked at.
Schema = Mapping[str, Any]


def main() -> int:
    """Write the types, or with `--check` say whether they are up to date."""
    wanted = render()
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(wanted, encoding="utf-8")
        return 0
    if TARGET.exists() and TARGET.read_text(encoding="utf-8") == wanted:
        return 0
    print("labextension/src/protocol.ts is out of date: run scripts/generate_types.py")
    return 1


def render() -> str:
    """Return the TypeScript text of all schemas, in order of their file names."""
    schemas = [json.loads(path.read_text("utf-8")) for path in sorted(WIRE.glob("*.schema.json"))]
    return HEADER + "".join(text for schema in schemas for text in interfaces(schema))


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
    return PRIMITIVES[kind]


if __name__ == "__main__":
    sys.exit(main())
