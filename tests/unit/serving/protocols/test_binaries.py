"""The binary layout is the one that an independent client writes and reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tritonclient import utils as triton

from pilotage.core import errors
from pilotage.serving.protocols import binaries

NUMERIC = [name for name in binaries.DTYPES if name != "BOOL"]


@pytest.mark.parametrize("datatype", binaries.DTYPES)
def test_each_datatype_is_the_array_that_the_client_means(datatype: str) -> None:
    assert np.dtype(triton.triton_to_np_dtype(datatype)).itemsize == binaries.DTYPES[datatype].itemsize


@given(
    st.sampled_from(NUMERIC).flatmap(
        lambda name: st.tuples(st.just(name), hnp.arrays(triton.triton_to_np_dtype(name), st.integers(0, 50)))
    )
)
def test_numbers_come_through_bit_by_bit(example: tuple[str, Any]) -> None:
    datatype, values = example
    found = binaries.read("x", datatype, len(values), values.tobytes())
    assert isinstance(found, np.ndarray)
    assert found.tobytes() == values.tobytes()
    assert binaries.write(datatype, values) == values.tobytes()


@given(st.lists(st.booleans()))
def test_booleans_come_through(values: list[bool]) -> None:
    raw = np.array(values, dtype=bool).tobytes()
    assert list(binaries.read("x", "BOOL", len(values), raw)) == values
    assert binaries.write("BOOL", np.array(values, dtype=bool)) == raw


@given(st.lists(st.text()))
def test_text_comes_through_and_empty_text_is_missing(values: list[str]) -> None:
    given_array = np.array([value.encode() for value in values], dtype=object)
    raw = triton.serialize_byte_tensor(given_array).item() if values else b""
    assert binaries.read("x", "BYTES", len(values), raw) == [value or None for value in values]
    written = binaries.write("BYTES", np.array(values, dtype=object))
    assert written == raw
    assert [item.decode() for item in triton.deserialize_bytes_tensor(written)] == values


@given(st.sampled_from(["BYTES", *binaries.DTYPES]), st.integers(0, 30), st.binary(max_size=120))
def test_any_bytes_are_read_or_refused_by_name(datatype: str, rows: int, raw: bytes) -> None:
    refusal, values = None, None
    try:
        values = binaries.read("x", datatype, rows, raw)
    except errors.RequestError as error:
        refusal = str(error)
    assert "`x`" in refusal if refusal else values is not None and len(values) == rows


@pytest.mark.parametrize(
    ("datatype", "rows", "raw", "said"),
    [
        ("FP64", 2, b"\0" * 15, "has 15 bytes of data, expected 16"),
        ("FP64", 1, b"\0" * 16, "has 16 bytes of data, expected 8"),
        ("BOOL", 2, b"\1\2", "Row 1: input `x` is the byte 2"),
        ("BYTES", 1, b"", "Row 0: input `x` ends after 0 bytes"),
        ("BYTES", 1, b"\1\0\0", "ends after 3 bytes"),
        ("BYTES", 1, b"\xff\xff\xff\xffab", "Row 0: input `x` ends after 6 bytes"),
        ("BYTES", 2, b"\2\0\0\0ab", "Row 1: input `x` ends after 6 bytes"),
        ("BYTES", 1, b"\1\0\0\0ab", "has 1 bytes more than its 1 elements take"),
        ("BYTES", 1, b"\2\0\0\0\xc3\x28", "Row 0: input `x` is not UTF-8"),
    ],
)
def test_a_lie_about_sizes_or_values_is_refused(datatype: str, rows: int, raw: bytes, said: str) -> None:
    with pytest.raises(errors.RequestError) as caught:
        binaries.read("x", datatype, rows, raw)
    assert said in str(caught.value)
