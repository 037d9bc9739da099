"""What was released of each message, and whether today's type can still read and be read.

`schemas/released/<Type>.v<major>.json` holds the fields of a type as it went out. New code must read
every record ever written; so within a major version fields may only be added, and only optional ones;
an enumeration or a union may only grow.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
from msgspec import inspect

from schemas.envelope import Message

FOLDER = Path(__file__).resolve().parent / "released"


def released_types(*modules: ModuleType) -> dict[str, type[Message]]:
    """Return every tagged message of the modules by its tag."""
    found = {}
    for module in modules:
        for member in vars(module).values():
            if isinstance(member, type) and issubclass(member, Message):
                tag = member.__struct_config__.tag
                if isinstance(tag, str) and ".v" in tag:
                    found[tag] = member
    return found


def describe(message_type: type[Message]) -> dict[str, Any]:
    """Return the fields as plain data: name -> {"required": bool, "kinds": [...]}."""
    info = inspect.type_info(message_type)
    if not isinstance(info, inspect.StructType):
        raise TypeError(f"{message_type} is no struct")
    return {f.encode_name: {"required": f.required, "kinds": sorted(_kinds(f.type))} for f in info.fields}


def incompatibilities(released: dict[str, Any], present: dict[str, Any]) -> list[str]:
    """Return what breaks old records or old readers, one sentence each; empty when all is well."""
    problems = []
    for name, old in released.items():
        new = present.get(name)
        if new is None:
            problems.append(f"field {name} was removed")
        elif old["required"] != new["required"]:
            problems.append(f"field {name} changed between required and optional")
        elif not set(old["kinds"]) <= set(new["kinds"]):
            problems.append(f"field {name} was {old['kinds']} and is {new['kinds']}")
    problems += [
        f"new field {name} is required"
        for name, new in present.items()
        if name not in released and new["required"]
    ]
    return problems


def load(folder: Path = FOLDER) -> dict[str, dict[str, Any]]:
    """Return the released fields by tag."""
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))}


def _kinds(field_type: inspect.Type) -> set[str]:
    if isinstance(field_type, inspect.UnionType):
        return {kind for member in field_type.types for kind in _kinds(member)}
    if isinstance(field_type, inspect.EnumType):
        return {f"enum:{member.value}" for member in field_type.cls}
    if isinstance(field_type, inspect.StructType):
        return {f"message:{field_type.tag}"}
    if isinstance(field_type, inspect.VarTupleType | inspect.ListType):
        return {f"list of {kind}" for kind in _kinds(field_type.item_type)}
    return {type(field_type).__name__.removesuffix("Type").lower()}


def encode(fields: dict[str, Any]) -> str:
    return msgspec.json.format(msgspec.json.encode(fields, order="sorted"), indent=1).decode() + "\n"
