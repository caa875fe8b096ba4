"""Everything one server process is made of, wired together and started and stopped in order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from pilotage.core.pilots import Pilot
from pilotage.core.settings import Settings
from pilotage.core.storage import Storage
from pilotage.serving import problems
from pilotage.serving.endpoints import Endpoint, Receipt
from pilotage.serving.inference.explanations.lanes import Lane
from pilotage.serving.limits import Limits
from pilotage.serving.security import tls
from pilotage.serving.telemetry import accesses, traces
from pilotage.serving.telemetry.meters import Across, Meters
from pilotage.serving.telemetry.readings import Loaded
from pilotage.serving.telemetry.sharing import Share
from pilotage.serving.versions.lives import Live
from pilotage.serving.web.bodies import Intake


class Service:
    """A model server of one or several pilots, without its HTTP shell."""

    def __init__(
        self,
        pilots: Sequence[Pilot],
        settings: Settings,
        limits: Limits,
        share: Share | None = None,
        versions: Mapping[str, Sequence[int]] | None = None,
        pins: Mapping[str, int] | None = None,
    ) -> None:
        self.settings = settings
        self.limits = limits
        self.draining = False
        """Whether the server is about to stop: it still answers, but is not ready for more."""
        self.intake = Intake(limits)
        self.meters = Meters({pilot.name: pilot.spec.serve.p99_ms / 1000 for pilot in pilots}, share)
        self.accesses = accesses.access_log(settings, self.meters.unlogged.inc)
        self.tracer = traces.tracer(settings)
        place, below = settings.storage, settings.record_below
        storage = Storage(f"{place.rstrip('/')}/{below}" if below else place)
        self.endpoints = {
            pilot.name: Endpoint(
                pilot,
                settings,
                limits,
                storage,
                self.meters,
                also=(versions or {}).get(pilot.name, ()),
                pin=(pins or {}).get(pilot.name),
            )
            for pilot in pilots
        }
        self._add_gauges()
        self.explaining = Lane(settings, limits)
        self._storing = ThreadPoolExecutor(1, "labels")

    def _add_gauges(self) -> None:
        endpoints, add = self.endpoints.values(), self.meters.gauge
        self.meters.watch(self._loaded)
        add(
            "pilotage_queue_depth",
            "Prediction requests that wait or are being answered",
            lambda: sum(endpoint.batcher.depth for endpoint in endpoints),
        )
        add(
            "pilotage_registry_outage",
            "1 when the registry of models could not be read the last time",
            lambda: any(endpoint.follower.outage for endpoint in endpoints),
            Across.MAX,
        )
        add(
            "pilotage_failing_loads",
            "Pilots whose newest champion cannot be loaded, so that an older one or none serves",
            lambda: sum(endpoint.follower.failed is not None for endpoint in endpoints),
            Across.MAX,
        )
        if self.settings.tls_cert_file:
            add(
                "pilotage_tls_certificate_expiry_timestamp_seconds",
                "When the server's certificate ends",
                lambda: tls.expires_at(self.settings).timestamp(),
                Across.MIN,
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the pilots that are served."""
        return tuple(self.endpoints)

    def endpoint(self, name: str | None = None) -> Endpoint:
        """The pilot of that name; the only one when none is named.

        Raises:
            Problem: it is not served here, or none is named and there are several.
        """
        if name is None:
            if len(self.endpoints) > 1:
                have = ", ".join(f"`/models/{name}/…`" for name in self.endpoints)
                raise problems.not_found(f"Several models are served here, so say which: {have}.")
            (endpoint,) = self.endpoints.values()
            return endpoint
        found = self.endpoints.get(name)
        if found is None:
            have = ", ".join(f"`{name}`" for name in self.endpoints)
            raise problems.not_found(f"Model `{name[:63]}` is not served here. Served are: {have}.")
        return found

    def start(self) -> None:
        """Begin to count and to follow the champions; returns once those are loaded that there are."""
        with ThreadPoolExecutor(len(self.endpoints), "start") as starting:
            wait = self.limits.first_load_seconds
            list(starting.map(lambda endpoint: endpoint.start(wait), self.endpoints.values()))

    def stop(self) -> None:
        """Finish what is in progress and write all counts."""
        self.explaining.close()
        for endpoint in self.endpoints.values():
            endpoint.stop()
        self._storing.shutdown()
        if self.accesses is not None:
            self.accesses.close()
        if self.tracer is not None:
            self.tracer.close()
        self.meters.close()

    def ready(self) -> list[Live]:
        """What answers now, for health checks.

        Raises:
            Problem: the server is about to stop, or a pilot has nothing that is live.
        """
        if self.draining:
            raise problems.draining()
        return [endpoint.plane.live() for endpoint in self.endpoints.values()]

    async def keep_labels(self, endpoint: Endpoint, body: bytes, content_type: str) -> Receipt:
        """Store a body of labels durably, off the event loop; see `Endpoint.keep_labels`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._storing, endpoint.keep_labels, body, content_type)

    def _loaded(self) -> Iterable[Loaded]:
        for endpoint in self.endpoints.values():
            champion = endpoint.follower.live
            for live in endpoint.follower.versions:
                form = "trained" if live.form is None else "onnx"
                yield Loaded(endpoint.name, live.version, form, live is champion, live.since)
