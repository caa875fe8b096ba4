"""Asks a model server by KServe's own client and types; run in an environment that has KServe.

    python kserve_client.py URL GRPC ROWS

ROWS is a JSON list of rows; prints what each way of asking gave.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import numpy as np
from kserve import (  # type: ignore[import-not-found]
    InferenceGRPCClient,
    InferenceRESTClient,
    InferInput,
    InferRequest,
    RESTConfig,
)

KINDS = {"distance": "FP64", "carrier": "BYTES", "holiday": "BOOL", "bought": "BYTES"}


def request(rows: list[dict[str, Any]], *, binary: bool) -> Any:
    """The rows as KServe writes them."""
    made = []
    for name, datatype in KINDS.items():
        values = np.array([row[name] for row in rows], dtype=object if datatype == "BYTES" else None)
        tensor = InferInput(name, [len(rows)], datatype)
        tensor.set_data_from_numpy(values, binary_data=binary)
        made.append(tensor)
    return InferRequest(model_name="flights", infer_inputs=made, request_id="q")


def said(response: Any) -> dict[str, Any]:
    """What an answer says, read by KServe."""
    found = {output.name: output.as_numpy().tolist() for output in response.outputs}
    return {"id": response.id, "model": response.model_name, "version": response.model_version, **found}


async def ask(url: str, grpc: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What each way of asking gives."""
    rest = InferenceRESTClient(RESTConfig(protocol="v2"))
    calls = InferenceGRPCClient(grpc)
    found = {
        "live": await rest.is_server_live(url),
        "ready": await rest.is_server_ready(url),
        "model": await rest.is_model_ready(url, "flights"),
        "grpc-live": await calls.is_server_live(),
        "grpc-ready": await calls.is_server_ready(),
        "grpc-model": await calls.is_model_ready("flights"),
        "json": said(await rest.infer(url, request(rows, binary=False), model_name="flights")),
        "binary": said(await rest.infer(url, request(rows, binary=True), model_name="flights")),
        "grpc": said(await calls.infer(request(rows, binary=False))),
        "grpc-raw": said(await calls.infer(request(rows, binary=True))),
    }
    await rest.close()
    await calls.close()
    return found


if __name__ == "__main__":
    url, grpc, rows = sys.argv[1:]
    sys.stdout.write(json.dumps(asyncio.run(ask(url, grpc, json.loads(rows)))))
