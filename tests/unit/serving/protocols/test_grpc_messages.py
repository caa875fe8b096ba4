"""Our messages are, field by field, those that an independent client was generated from."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2 as triton

from pilotage.serving.problems import Problem
from pilotage.serving.protocols.grpc import messages

OURS = {"ModelInferHead"}
NESTED = {
    "InferInputTensor": "ModelInferRequest",
    "InferRequestedOutputTensor": "ModelInferRequest",
    "InferOutputTensor": "ModelInferResponse",
    "TensorMetadata": "ModelMetadataResponse",
    "ModelIndex": "RepositoryIndexResponse",
}


def theirs(name: str) -> Any:
    holder = getattr(triton, NESTED[name]) if name in NESTED else triton
    return getattr(holder, name).DESCRIPTOR


def fields(descriptor: Any) -> dict[str, tuple[Any, ...]]:
    found: dict[str, tuple[Any, ...]] = {}
    for field in descriptor.fields:
        inner = field.message_type
        is_map = inner is not None and inner.GetOptions().map_entry
        kind = fields(inner) if is_map else inner.name if inner is not None else field.type
        oneof = field.containing_oneof.name if field.containing_oneof else None
        found[field.name] = field.number, field.is_repeated, field.is_packed, kind, oneof
    return found


@pytest.mark.parametrize("name", sorted(set(messages.CLASSES) - OURS))
def test_each_message_is_the_protocols(name: str) -> None:
    assert fields(messages.CLASSES[name].DESCRIPTOR) == fields(theirs(name))


def test_the_head_is_a_part_of_the_request() -> None:
    head = fields(messages.CLASSES["ModelInferHead"].DESCRIPTOR)
    assert head.items() <= fields(theirs("ModelInferRequest")).items()


def test_the_service_is_called_as_clients_call_it() -> None:
    assert triton.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name == messages.SERVICE


@given(st.binary(max_size=80))
def test_bytes_that_are_no_message_are_the_clients_error(body: bytes) -> None:
    refused = None
    try:
        messages.parse("ModelInferRequest", body)
    except Problem as problem:
        refused = problem.status
    assert refused in (None, 400)


def test_a_string_that_is_not_utf8_is_the_clients_error() -> None:
    with pytest.raises(Problem, match=r"inference\.ModelInferRequest"):
        messages.parse("ModelInferRequest", b"\x0a\x02\xc3\x28")
