"""What Kubeflow's own OpenAPI description says of requests and answers, read from the client made of it.

`kfp-server-api` is generated from that description: its services hold every path,
method and query, its models every key with its type. Nothing is known here of what
the operations mean.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import kfp_server_api

_SERVICES = ("RunServiceApi", "ExperimentServiceApi", "RecurringRunServiceApi", "HealthzServiceApi")
_SCALARS = {"str": str, "bool": bool, "float": (int, float), "object": object}


@dataclass(frozen=True)
class Operation:
    """One operation of the API."""

    name: str
    method: str
    path: str
    query: dict[str, str]
    """Type by name."""
    body: str | None
    """Type of the body."""
    answer: str

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """The path's parameters, if a request is for this operation."""
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/:]+)", self.path)
        found = re.fullmatch(pattern, path) if method == self.method else None
        return found.groupdict() if found else None


@cache
def operations() -> tuple[Operation, ...]:
    """Every operation of the services in use."""
    found = []
    for service in _SERVICES:
        for name, function in inspect.getmembers(getattr(kfp_server_api, service), inspect.isfunction):
            if name.endswith("_with_http_info"):
                found.append(_operation(name.removesuffix("_with_http_info"), function))
    return tuple(found)


def _operation(name: str, function: Any) -> Operation:
    source = inspect.getsource(function)
    types = dict(re.findall(r":type (\w+): ([\w\[\](), ]+)", inspect.getdoc(function) or ""))
    where = re.search(r"call_api\(\s*'([^']+)', '([A-Z]+)'", source)
    answer = re.search(r"response_type='([^']*)'", source)
    body = re.search(r"body_params = local_var_params\['(\w+)'\]", source)
    assert where is not None
    assert answer is not None
    queries = re.findall(r"query_params\.append\(\('([\w.]+)', local_var_params\['(\w+)'\]", source)
    return Operation(
        name=name,
        method=where[2],
        path=where[1],
        query={key: types[argument] for key, argument in queries},
        body=types[body[1]] if body else None,
        answer=answer[1],
    )


def query_problems(operation: Operation, query: dict[str, list[str]]) -> list[str]:
    """What is wrong with a request's query."""
    found = [f"query `{name}` is not known" for name in query if name not in operation.query]
    for name, values in query.items():
        if len(values) != 1:
            found.append(f"query `{name}` is given {len(values)} times")
        if operation.query.get(name) == "int" and not re.fullmatch(r"-?\d+", values[0]):
            found.append(f"query `{name}` is no number: {values[0]}")
    return found


def problems(value: Any, kind: str, place: str = "") -> list[str]:
    """What keeps `value`, as read from JSON, from being of the type `kind` of the description."""
    if kind.startswith("list["):
        if not isinstance(value, list):
            return [f"{place} is no list: {value!r}"]
        return [p for i, item in enumerate(value) for p in problems(item, kind[5:-1], f"{place}[{i}]")]
    if kind.startswith("dict("):
        if not isinstance(value, dict):
            return [f"{place} is no mapping: {value!r}"]
        inner = kind[5:-1].split(",", 1)[1].strip()
        return [p for key, item in value.items() for p in problems(item, inner, f"{place}.{key}")]
    if kind == "int":
        return [] if isinstance(value, int) and not isinstance(value, bool) else [f"{place} is no number"]
    if kind == "datetime":
        return _time_problems(value, place)
    if kind in _SCALARS:
        expected: Any = _SCALARS[kind]
        return [] if isinstance(value, expected) else [f"{place} is no {kind}: {value!r}"]
    return _model_problems(value, getattr(kfp_server_api, kind), place)


def _time_problems(value: Any, place: str) -> list[str]:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return [f"{place} is no time: {value!r}"]
    return [] if moment.tzinfo else [f"{place} has no time zone: {value!r}"]


def _model_problems(value: Any, model: Any, place: str) -> list[str]:
    if not model.openapi_types:
        known = {getattr(model, name) for name in dir(model) if name.isupper()}
        return [] if value in known else [f"{place} is none of {sorted(known)}: {value!r}"]
    if not isinstance(value, dict):
        return [f"{place} is no mapping: {value!r}"]
    names = {key: attribute for attribute, key in model.attribute_map.items()}
    found = [f"{place}.{key} is not known" for key in value if key not in names]
    for key, item in value.items():
        if key in names:
            found += problems(item, model.openapi_types[names[key]], f"{place}.{key}")
    return found
