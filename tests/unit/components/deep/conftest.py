"""Tests of deep models need PyTorch and what reads encoders, which are optional."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.components.deep import small_encoders

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'pilotage[deep]'")


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small sentence encoder."""
    pytest.importorskip("sentence_transformers", reason="needs 'pilotage[deep]'")
    return small_encoders.sentence_model(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="session")
def digits_backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that knows the digits 0 to 4, as ONNX."""
    return small_encoders.backbone(tmp_path_factory.mktemp("backbone") / "digits.onnx")
