"""The Open Inference Protocol over gRPC; imports gRPC, so it is imported only where that is spoken."""

from __future__ import annotations
