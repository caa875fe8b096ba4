"""Reads pilot.yaml and says on which line what is wrong.

YAML is read as version 1.2 means it where people would be surprised otherwise:
`on` and `yes` are words, dates stay text, a key given twice is an error.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from pilotage.core import errors
from pilotage.core.specs import Misplaced, PilotSpec

FILE_NAME = "pilot.yaml"


@dataclass(frozen=True)
class Pilot:
    """A pilot's spec and where it was read."""

    spec: PilotSpec
    file: Path

    @property
    def folder(self) -> Path:
        """What relative sources, suites and modules are relative to."""
        return self.file.parent

    @property
    def name(self) -> str:
        return self.spec.pilot


@dataclass(frozen=True)
class Problem:
    """One thing wrong in pilot.yaml."""

    line: int
    key: str
    message: str


_EXPECTED = {
    "dict_type": "a mapping such as {key: value}",
    "model_type": "a mapping of keys",
    "string_type": "text",
    "tuple_type": "a list such as [a, b]",
}
"""What pydantic's errors mean in terms of YAML."""


class _Loader(yaml.SafeLoader):
    """YAML 1.2's scalars: only true and false are booleans, `1e-3` is a number, dates are text."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if not tag.endswith((":bool", ":timestamp", ":float", ":int"))
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|false|False)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?(?:(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|\.inf|\.nan)$"
    ),
    list("-+.0123456789"),
)


def _float(loader: _Loader, node: yaml.ScalarNode) -> float:
    return float(str(loader.construct_scalar(node)).replace(".inf", "inf").replace(".nan", "nan"))


_Loader.add_constructor("tag:yaml.org,2002:float", _float)


def load(path: Path | str) -> Pilot:
    """The pilot at `path`, a folder that holds pilot.yaml or the file itself.

    Raises:
        NotFound: there is no such file.
        SpecError: it is not YAML, or a key or a value is wrong; the message names file,
            line, key, what was expected and the nearest valid key.
    """
    file = Path(path).expanduser()
    file = file / FILE_NAME if file.is_dir() else file
    if not file.is_file():
        raise errors.NotFound(
            f"There is no `{file}`.",
            remedy="Name a folder with a pilot.yaml, or begin with `pilotage init NAME`.",
        )
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise errors.SpecError(
            f"`{file}` cannot be read: {error}.", remedy="Save it as UTF-8 text."
        ) from error
    return Pilot(spec=parse(text, str(file)), file=file.absolute())


def parse(text: str, name: str = FILE_NAME) -> PilotSpec:
    """The spec that `text` says; `name` is the file's in messages.

    Raises:
        SpecError: see `load`.
    """
    node, content = _read(text, name)
    if not isinstance(node, yaml.MappingNode):
        raise _wrong(
            name,
            [Problem(1, "", "the file must be a mapping of keys such as `version: 1` and `pilot: name`")],
        )
    twice = list(_duplicates(node, ()))
    if twice:
        raise _wrong(name, twice)
    try:
        return PilotSpec.model_validate(content)
    except ValidationError as error:
        raise _wrong(name, [_problem(node, item) for item in error.errors(include_url=False)]) from error


def _read(text: str, name: str) -> tuple[yaml.Node | None, Any]:
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None, None
            _refuse_cycles(node, ())
            return node, loader.construct_document(node)
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _not_yaml(name, error) from error


def _refuse_cycles(node: yaml.Node, above: tuple[yaml.Node, ...]) -> None:
    """Raise YAMLError where an alias stands within what it stands for."""
    if any(node is outer for outer in above):
        raise yaml.MarkedYAMLError(
            problem="an alias refers to what it is part of", problem_mark=node.start_mark
        )
    if isinstance(node, yaml.CollectionNode):
        for item in node.value:
            for part in item if isinstance(item, tuple) else (item,):
                _refuse_cycles(part, (*above, node))


def from_json(text: str) -> PilotSpec:
    """The spec that a compiled pipeline carries as JSON.

    Raises:
        SpecError: it is not a spec of this version.
    """
    try:
        return PilotSpec.model_validate_json(text)
    except ValidationError as error:
        raise errors.SpecError(
            f"The compiled spec is not valid: {error}.",
            remedy="Compile the pipeline again with this version.",
        ) from error


def schema() -> dict[str, Any]:
    """The JSON schema of pilot.yaml."""
    content = PilotSpec.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **content, "title": "pilot.yaml"}


def _not_yaml(name: str, error: Exception) -> errors.SpecError:
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark is not None else 1
    what = getattr(error, "problem", None) or str(error)
    return errors.SpecError(
        f"{name}:{line}: not YAML: {what}.",
        remedy="Check indentation, quotes and colons there.",
        problems=[{"line": line, "key": "", "message": str(what)}],
    )


def _wrong(name: str, problems: Sequence[Problem]) -> errors.SpecError:
    ordered = sorted(problems, key=lambda problem: problem.line)
    lines = [f"{name}:{item.line}: {f'`{item.key}`: ' if item.key else ''}{item.message}" for item in ordered]
    return errors.SpecError(
        "\n".join(lines),
        remedy="\n`pilotage schema` prints every key.",
        problems=[{"line": item.line, "key": item.key, "message": item.message} for item in ordered],
    )


def _duplicates(node: yaml.Node, path: tuple[str, ...]) -> Iterator[Problem]:
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            text = str(key.value)
            line = key.start_mark.line + 1
            if text in seen:
                yield Problem(line, ".".join((*path, text)), f"given twice, first on line {seen[text]}")
            seen.setdefault(text, line)
            yield from _duplicates(value, (*path, text))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _duplicates(value, (*path, str(index)))


def _problem(root: yaml.Node, item: Any) -> Problem:
    cause = item.get("ctx", {}).get("error")
    location = [str(part) for part in (cause.location if isinstance(cause, Misplaced) else item["loc"])]
    if location[:2] == ["data", "source"] and len(location) > 2:
        del location[2]  # the tag of the union's branch, which no file says
    line, depth = _locate(root, location)
    kind, context = item["type"], item.get("ctx", {})
    key = ".".join(location if kind == "missing" else location[:depth])
    if kind == "extra_forbidden":
        return Problem(line, key, _unknown_key(location))
    if kind == "missing":
        return Problem(line, key, "is missing, and has no default")
    expected = str(context.get("error", item["msg"])).removeprefix("Value error, ")
    if kind == "value_error":
        return Problem(line, key, expected)
    value = json.dumps(item["input"], default=str, ensure_ascii=False)
    value = value if len(value) <= 80 else value[:77] + "…"
    return Problem(line, key, f"{_phrase(kind, expected, context)}, got {value}")


def _phrase(kind: str, expected: str, context: dict[str, Any]) -> str:
    pattern = context.get("pattern", "")
    if kind == "string_pattern_mismatch" and pattern.startswith("^[a-z0-9]([-a-z0-9]"):
        return "expected a DNS-1123 label (lower-case letters, digits and dashes, at most 63)"
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}"
    if kind == "string_pattern_mismatch":
        return f"expected text of the form {pattern}"
    return expected[:1].lower() + expected[1:]


def _locate(root: yaml.Node, location: Sequence[str]) -> tuple[int, int]:
    """Line and depth of the deepest part of `location` that the file has."""
    node, line = root, root.start_mark.line + 1
    for depth, part in enumerate(location):
        found = _child(node, part)
        if found is None:
            return line, depth
        key, node = found
        line = key.start_mark.line + 1
    return line, len(location)


def _child(node: yaml.Node, part: str) -> tuple[yaml.Node, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if str(key.value) == part), None)
    if isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
        value = node.value[int(part)]
        return value, value
    return None


def _unknown_key(location: Sequence[str]) -> str:
    valid = _keys_at(location[:-1])
    if location[-1] in valid:
        return "does not go with the other keys here"
    near = difflib.get_close_matches(location[-1], valid, n=1, cutoff=0.5)
    hint = f"did you mean `{near[0]}`?" if near else f"valid keys here are {', '.join(valid)}"
    return f"is not a key of pilot.yaml here; {hint}"


def _keys_at(path: Sequence[str]) -> list[str]:
    """Keys that pilot.yaml takes below `path`, found in the models' own schema."""
    whole = PilotSpec.model_json_schema()
    options = [whole]
    for name in path:
        below = [_below(option, name) for option in options]
        options = [option for part in below if part for option in _options(whole, part)]
    return sorted({key for option in options for key in option.get("properties", {})})


def _below(schema: dict[str, Any], name: str) -> dict[str, Any] | None:
    part = schema.get("properties", {}).get(name) or schema.get("items") or schema.get("additionalProperties")
    return part if isinstance(part, dict) else None


def _options(whole: dict[str, Any], part: dict[str, Any]) -> list[dict[str, Any]]:
    """The object schemas that `part` may stand for, references and unions followed."""
    if "$ref" in part:
        return _options(whole, whole["$defs"][part["$ref"].rsplit("/", 1)[-1]])
    branches = part.get("anyOf") or part.get("oneOf")
    return [option for branch in branches for option in _options(whole, branch)] if branches else [part]


def model_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of any model of `pilotage.core`, for the committed files."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema()}
