"""What every gRPC call has in common: guard, deadline, limits, statuses, counting, the orderly end."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.unit.serving.security import certificates
from tritonclient.grpc import service_pb2 as triton

from pilotage.core import errors, settings
from pilotage.serving import problems
from pilotage.serving.inference.planes import Reply
from pilotage.serving.inference.works import Request
from pilotage.serving.limits import Limits
from pilotage.serving.problems import Problem
from pilotage.serving.protocols.grpc import codecs, statuses
from pilotage.serving.protocols.grpc.servers import GrpcServer
from pilotage.serving.security import tls
from pilotage.serving.security.guards import Guard
from pilotage.serving.security.tokens import TokenFile
from pilotage.serving.telemetry.meters import Meters
from pilotage.serving.web.bodies import Intake

INFER = "/inference.GRPCInferenceService/ModelInfer"
ASKED = triton.ModelInferRequest(model_name="flights", model_version="3", id="q").SerializeToString()

Predict = Callable[[Request], Awaitable[Reply]]


class Service:
    """A service that answers as the test says, and keeps what it was asked."""

    def __init__(self, predict: Predict | None = None, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.meters = Meters({"flights": 0.1})
        self.intake = Intake(self.limits)
        self.notes: list[tuple[Any, ...]] = []
        self.accesses = SimpleNamespace(least=0, note=lambda *note: self.notes.append(note))
        self.tracer = None
        self.draining = False
        self.name = "flights"
        self.names = (self.name,)
        self.requests: list[Request] = []
        self.refusals = 0
        self._predict = predict

    def endpoint(self, name: str) -> Any:
        if name != "flights":
            raise problems.not_found(f"Model `{name}` is not served here.")
        return self

    def refused(self) -> None:
        self.refusals += 1

    def ready(self) -> None:
        if self.draining:
            raise problems.draining()

    @property
    def plane(self) -> Any:
        return SimpleNamespace(live=lambda version=None: None)

    async def predict(self, request: Request) -> Reply:
        self.requests.append(request)
        if self._predict is not None:
            return await self._predict(request)
        return Reply(triton.ModelInferResponse(id="q").SerializeToString(), 2, 3)


def run(
    service: Service,
    use: Callable[[grpc.aio.Channel], Awaitable[Any]],
    guard: Guard | None = None,
    credentials: tuple[Any, Any] | None = None,
) -> Any:
    """What `use` gives of a channel to a server around `service`."""

    async def session() -> Any:
        server = GrpcServer(service, "127.0.0.1", 0, guard, credentials[0] if credentials else None)  # type: ignore[arg-type]
        address = f"127.0.0.1:{await server.start()}"
        channel = (
            grpc.aio.secure_channel(address, credentials[1])
            if credentials
            else grpc.aio.insecure_channel(address)
        )
        async with channel:
            try:
                return await use(channel)
            finally:
                await server.stop(1)

    return asyncio.run(session())


async def infer(channel: grpc.aio.Channel, body: bytes = ASKED, **options: Any) -> bytes:
    answer: bytes = await channel.unary_unary(INFER)(body, timeout=options.pop("timeout", 10), **options)
    return answer


def failing(error: Exception) -> Service:
    async def predict(request: Request) -> Reply:
        raise error

    return Service(predict)


def test_a_call_is_a_request_of_the_data_plane() -> None:
    service = Service()
    before = time.perf_counter()
    answer = run(service, lambda channel: infer(channel, metadata=[("x-request-id", "r-1")]))
    assert triton.ModelInferResponse.FromString(answer).id == "q"
    (request,) = service.requests
    assert (request.body, request.codec, request.version) == (ASKED, codecs.decode, "3")
    assert request.deadline is not None
    assert before + 9 < request.deadline < before + 12
    assert service.intake.held == 0
    ((method, path, status, _, identity, rows, version, principal),) = service.notes
    assert (method, path, status, identity) == ("GRPC", INFER, 200, b"r-1")
    assert (rows, version, principal) == (2, 3, None)
    assert f'route="{INFER}"'.encode() in service.meters.text()
    assert b'pilotage_pilot_requests_total{pilot="flights"} 1.0' in service.meters.text()


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (errors.RequestError("Row 3 is wrong."), "INVALID_ARGUMENT", "Row 3 is wrong."),
        (problems.malformed("No."), "INVALID_ARGUMENT", "No."),
        (problems.too_many("rows", 9, 8), "INVALID_ARGUMENT", "at most 8"),
        (problems.not_found("Gone."), "NOT_FOUND", "Gone."),
        (problems.not_ready("Nothing is live."), "UNAVAILABLE", "Nothing is live."),
        (problems.draining(), "UNAVAILABLE", "draining"),
        (problems.overloaded(), "RESOURCE_EXHAUSTED", "Too many requests"),
        (problems.unauthorized("Who?"), "UNAUTHENTICATED", "Who?"),
        (problems.forbidden("Not you."), "PERMISSION_DENIED", "Not you."),
        (problems.too_often(2.5), "RESOURCE_EXHAUSTED", ""),
        (problems.too_late(), "DEADLINE_EXCEEDED", "deadline"),
        (RuntimeError("secret inside"), "INTERNAL", "its log says why"),
        (Problem(HTTPStatus.IM_A_TEAPOT, "tea", "Tea."), "INTERNAL", "Tea."),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_each_error_has_its_status(
    error: Exception, code: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    service = failing(error)
    caplog.set_level(logging.CRITICAL, "grpc")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        run(service, infer)
    assert caught.value.code().name == code
    assert said in (caught.value.details() or "")
    assert "secret" not in (caught.value.details() or "")
    assert service.refusals == 1
    assert service.intake.held == 0


def test_what_http_says_in_headers_comes_as_trailers() -> None:
    problem = problems.too_often(2.5)
    trailers = dict(statuses.trailers_of(problem))
    assert trailers["retry-after"] == problem.headers["Retry-After"]


def test_bodies_of_all_calls_together_are_bounded() -> None:
    service = Service(limits=Limits(held_bytes=100))
    large = triton.ModelInferRequest(model_name="flights", raw_input_contents=[b"x" * 200])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        run(service, lambda channel: infer(channel, large.SerializeToString()))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (service.requests, service.intake.held) == ([], 0)


def test_a_guard_admits_by_the_authorization_in_metadata(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"ada:{hashlib.sha256(b'plt_right').hexdigest()}\n")
    service = Service()

    async def session(channel: grpc.aio.Channel) -> None:
        for metadata in ([], [("authorization", "Bearer wrong")], [("authorization", "plt_right")]):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await infer(channel, metadata=metadata)
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
            assert "www-authenticate" in {key for key, _ in caught.value.trailing_metadata()}
        for _ in range(2):
            await infer(channel, metadata=[("authorization", "Bearer plt_right")])
        await channel.unary_unary("/inference.GRPCInferenceService/ServerReady")(b"", timeout=10)
        with pytest.raises(grpc.aio.AioRpcError):
            await channel.unary_unary("/inference.GRPCInferenceService/ServerMetadata")(b"", timeout=10)
        await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)

    run(service, session, Guard(TokenFile(file), None))
    assert [request.principal for request in service.requests] == ["ada", "ada"]


def test_a_client_that_leaves_is_counted_and_holds_nothing() -> None:
    began = asyncio.Event()

    async def predict(request: Request) -> Reply:
        began.set()
        await asyncio.sleep(60)
        raise AssertionError("nobody waits that long")

    service = Service(predict)

    async def session(channel: grpc.aio.Channel) -> None:
        call = channel.unary_unary(INFER)(ASKED)
        await began.wait()
        call.cancel()
        for _ in range(100):
            if service.notes:
                break
            await asyncio.sleep(0.05)

    run(service, session)
    assert service.notes[0][2] == 499
    assert service.intake.held == 0
    assert service.meters.in_flight.value == 0


def test_a_stop_waits_for_calls_in_progress_and_takes_no_more() -> None:
    began = asyncio.Event()

    async def predict(request: Request) -> Reply:
        began.set()
        await asyncio.sleep(0.3)
        return Reply(b"", 1, 1)

    async def session() -> None:
        server = GrpcServer(Service(predict), "127.0.0.1", 0)  # type: ignore[arg-type]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{await server.start()}") as channel:
            call = asyncio.ensure_future(infer(channel))
            await began.wait()
            stopping = asyncio.ensure_future(server.stop(5))
            await asyncio.sleep(0.05)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await infer(channel)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert await call == b""
            await stopping

    asyncio.run(session())


def test_a_server_about_to_stop_is_not_serving() -> None:
    service = Service()

    async def session(channel: grpc.aio.Channel) -> None:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="flights"))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        service.draining = True
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()

    run(service, session)


def test_an_address_that_cannot_be_listened_on_is_a_wrong_setting() -> None:
    with pytest.raises(errors.SettingsError, match=r"192\.0\.2\.1 port 1 for gRPC"):
        asyncio.run(GrpcServer(Service(), "192.0.2.1", 1).start())  # type: ignore[arg-type]


def test_tls_asks_clients_for_a_certificate_where_it_is_mutual(tmp_path: Path) -> None:
    authority = certificates.certify(tmp_path, "authority")
    pair = certificates.certify(tmp_path, "server", authority)
    client = certificates.certify(tmp_path, "client", authority)
    found = settings.load(
        tls_cert_file=pair.cert, tls_key_file=pair.key, tls_client_ca_file=authority.cert, home=tmp_path
    )
    trusted = authority.cert.read_bytes()
    known = grpc.ssl_channel_credentials(trusted, client.key.read_bytes(), client.cert.read_bytes())
    run(Service(), infer, credentials=(tls.grpc_credentials(found), known))
    unknown = grpc.ssl_channel_credentials(trusted)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        run(Service(), infer, credentials=(tls.grpc_credentials(found), unknown))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
