"""What is written from a chart's values.schema.json: values.yaml and the tables of its README.

The schema is the single source of defaults and of what each value means. What a chart is for is written by
hand, in the README around the marked part.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

BEGIN = "<!-- values: written from values.schema.json -->"
END = "<!-- end of values -->"
RENAMED = "x-renamed-to"
"""Key of the schema that says what a value is called now."""
_WIDTH = 118

Schema = Mapping[str, Any]


def values_yaml(schema: Schema) -> str:
    """The chart's values.yaml: every default, and above it what the value means."""
    lines = [
        "# Written from values.schema.json by `make charts`; change that file, not this one.",
        *_comment(schema["description"], ""),
        *_mapping(schema["properties"], ""),
    ]
    return "\n".join(lines) + "\n"


def with_values(readme: str, schema: Schema) -> str:
    """The README with its marked part written anew."""
    before, _, rest = readme.partition(BEGIN)
    _, marked, after = rest.partition(END)
    if not marked:
        raise ValueError(f"the README has no part between `{BEGIN}` and `{END}`")
    return f"{before}{BEGIN}\n\n{values_tables(schema)}\n{END}{after}"


def values_tables(schema: Schema) -> str:
    """One table of the values at the top, and one for each group of values."""
    plain = {name: part for name, part in _current(schema).items() if not part.get("properties")}
    parts = [_table({}, plain, schema.get("required", ()))]
    for name, part in _current(schema).items():
        if part.get("properties"):
            parts.append(f"### `{name}`\n\n{part['description']}\n")
            parts.append(_table(part, dict(_leaves(part, name)), ()))
    renamed = {name: part[RENAMED] for name, part in schema["properties"].items() if RENAMED in part}
    if renamed:
        parts.append("### Renamed values\n\nThe chart refuses these and names the new one.\n")
        rows = "".join(f"| `{old}` | `{new}` |\n" for old, new in sorted(renamed.items()))
        parts.append(f"| was | is |\n| --- | --- |\n{rows}")
    return "\n".join(parts)


def renamed(schema: Schema, above: str = "") -> dict[str, str]:
    """Values that have another name now: old to new, as dotted paths."""
    found: dict[str, str] = {}
    for name, part in schema.get("properties", {}).items():
        if RENAMED in part:
            found[above + name] = part[RENAMED]
        else:
            found |= renamed(part, f"{above}{name}.")
    return found


def undescribed(schema: Schema, above: str = "") -> list[str]:
    """Values that the schema does not explain."""
    found = []
    for name, part in schema.get("properties", {}).items():
        if not part.get("description"):
            found.append(above + name)
        found += undescribed(part, f"{above}{name}.")
    return found


def open_objects(schema: Any, place: str = "") -> list[str]:
    """Places of the schema where an object says nothing about further keys."""
    if isinstance(schema, list):
        return [item for index, part in enumerate(schema) for item in open_objects(part, f"{place}/{index}")]
    if not isinstance(schema, dict):
        return []
    here = [place] if "properties" in schema and "additionalProperties" not in schema else []
    return here + [
        item
        for key, part in schema.items()
        if key != "default"
        for item in open_objects(part, f"{place}/{key}")
    ]


def _current(schema: Schema) -> dict[str, Schema]:
    return {name: part for name, part in schema["properties"].items() if RENAMED not in part}


def _mapping(properties: Schema, indent: str) -> Iterator[str]:
    for name, part in properties.items():
        if RENAMED in part:
            continue
        if not indent:
            yield ""
        yield from _comment(part["description"], indent)
        if part.get("properties") and "default" not in part and part.get("additionalProperties") is False:
            yield f"{indent}{name}:"
            yield from _mapping(part["properties"], indent + "  ")
        elif "default" in part:
            yield f"{indent}{name}: {_inline(part['default'])}"
        else:
            yield f"{indent}# {name}:   # needed"


def _comment(text: str, indent: str) -> Iterator[str]:
    yield from textwrap.wrap(
        text, _WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ", break_on_hyphens=False
    )


def _inline(value: Any) -> str:
    """A value on one line of YAML."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


def _leaves(part: Schema, above: str) -> Iterator[tuple[str, Schema]]:
    for name, inner in part["properties"].items():
        if RENAMED in inner:
            continue
        if inner.get("properties") and inner.get("additionalProperties") is False and "default" not in inner:
            yield from _leaves(inner, f"{above}.{name}")
        else:
            yield f"{above}.{name}", inner


def _table(_: Schema, rows: Mapping[str, Schema], required: Any) -> str:
    lines = ["| value | default | meaning |", "| --- | --- | --- |"]
    for name, part in rows.items():
        default = f"`{_inline(part['default'])}`" if "default" in part else ""
        if name in required or not default:
            default = "needed"
        meaning = part["description"] + _choices(part)
        lines.append(f"| `{name}` | {_cell(default)} | {_cell(meaning)} |")
    return "\n".join(lines) + "\n"


def _choices(part: Schema) -> str:
    if "enum" not in part:
        return ""
    return " One of " + ", ".join(f"`{choice}`" for choice in part["enum"]) + "."


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
