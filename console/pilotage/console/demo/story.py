"""The demo from its first landing to its last table.

    land January to March → run → champion → serve, monitor in processes of their own
    → for each window of April to August: replay its flights; a week later land them and
      send their labels → alarms → retraining → gates → promotion → swap, while requests go on

It only sets the stage and counts: the monitor process finds drift and starts
retrainings, the server process follows promotions, and both would do so without it.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from pilotage.console.demo import tallies
from pilotage.console.demo.children import Child
from pilotage.console.demo.landing import Landing, Slice
from pilotage.console.demo.observers import Observer, Retraining
from pilotage.console.demo.replays import Exchange, Pace, Replay
from pilotage.console.demo.screens import Screen
from pilotage.console.outputs import Output
from pilotage.console.views.progress import RunProgress
from pilotage.core import errors, settings
from pilotage.core.settings import Settings
from pilotage.pipelines.execution import runs
from pilotage.pipelines.machines import environments

_SLOW_REQUESTS_PER_SECOND = 16.0
_LOOK_SECONDS = 0.3
_START_SECONDS = 90.0
_JUDGE_SECONDS = 20.0
_RETRAIN_SECONDS = 180.0


@dataclass(frozen=True)
class Result:
    """What the demo came to; `document` is what `pilotage demo --json` prints."""

    folder: Path
    months: list[tallies.Month]
    comparison: tallies.Comparison | None
    versions: list[dict[str, Any]]
    retrainings: list[Retraining]
    promotions: list[dict[str, Any]]
    reports: list[str]
    alarms: int
    seconds: float

    @property
    def problems(self) -> list[str]:
        """What the demo promises and this one did not show."""
        failed = sum(month.failed for month in self.months)
        found = [f"{failed} requests failed"] if failed else []
        if not self.promotions:
            found.append("no retraining was promoted")
        both = self.comparison
        if (
            both
            and both.auc_live is not None
            and both.auc_first is not None
            and both.auc_live <= both.auc_first
        ):
            found.append(
                f"the live champion's AUC {both.auc_live:.4f} is not above the first's {both.auc_first:.4f}"
            )
        return found

    @property
    def document(self) -> dict[str, Any]:
        """The result as one JSON document."""
        return {
            "months": [asdict(month) for month in self.months],
            "versions": self.versions,
            "retrainings": [retraining.document for retraining in self.retrainings],
            "promotions": self.promotions,
            "reports": self.reports,
            "seconds": round(self.seconds, 2),
            "after_first_promotion": asdict(self.comparison) if self.comparison else None,
            "alarms": self.alarms,
            "folder": str(self.folder),
            "problems": self.problems,
        }


def tell(output: Output, folder: Path | None, months: int, inherited: Settings) -> Result:
    """Carry the demo out.

    Args:
        output: where progress is shown.
        folder: a folder that is empty or not there yet; a new temporary one when left out.
        months: how many months of traffic, 1 to 5.
        inherited: settings that the demo keeps, but for where things are.

    Raises:
        InputError: the folder is in use, or the example's data is not installed.
        Failure: a process of the demo ended or did not answer.
    """
    began = time.monotonic()
    place = _fresh_folder(folder)
    screen = Screen(output)
    screen.chapter(f"Folder {place}")
    landing = Landing(pilot_of(place), months)
    home = settings_of(place, inherited)
    screen.chapter(
        f"Flights of January to March have landed; {landing.traffic.height:,} more will be traffic"
    )
    champion = _first_champion(landing, home, output)
    with _running(landing, home, screen) as (server, monitor, url):
        stage = Stage(landing, home, screen, server, monitor, url)
        try:
            stage.play()
        finally:
            stage.replay.close()
    return _result(place, landing, home, stage, champion, began)


def pilot_of(place: Path) -> Path:
    """The folder of the pilot of a demo in `place`."""
    return place / "flight-delay"


def settings_of(place: Path, inherited: Settings) -> Settings:
    """The installation of a demo in `place`."""
    return settings.load(
        home=place / ".pilotage",
        flush_seconds=1.0,
        poll_seconds=0.5,
        trusted_types=inherited.trusted_types,
        step_timeout_seconds=inherited.step_timeout_seconds,
    )


class Stage:
    """The replay of all windows beside the running server and monitor."""

    def __init__(
        self, landing: Landing, home: Settings, screen: Screen, server: Child, monitor: Child, url: str
    ) -> None:
        pilot = landing.pilot
        self.pace = Pace(_SLOW_REQUESTS_PER_SECOND)
        self.replay = Replay(url, landing.traffic, landing.key, landing.target, self.pace)
        self.observer = Observer(pilot.name, home)
        self._landing = landing
        self._screen = screen
        self._children = (server, monitor)
        self._version = 0
        self._looked = 0.0
        self._revealed: Slice | None = None
        """The last window whose labels are known."""

    def play(self) -> None:
        """Replay every window; labels follow one window behind."""
        slices = self._landing.slices()
        with self._screen.traffic(self._landing.traffic.height):
            earlier: list[Slice] = []
            for part in slices:
                for exchange in self.replay.send(self._landing.requests(part)):
                    self._note(exchange)
                if earlier and part is not slices[-1]:
                    self._reveal(earlier[-1])
                earlier.append(part)
            self._wait(lambda: not self.observer.is_retraining, _RETRAIN_SECONDS)

    def _note(self, exchange: Exchange) -> None:
        if exchange.version > self._version > 0:
            moment: datetime = self._landing.traffic[self._landing.time][exchange.first]
            self._screen.event("swap", f"version {exchange.version} answers from {moment:%d %B %H:%M} on")
        self._version = max(self._version, exchange.version)
        moment = self._landing.traffic[self._landing.time][exchange.first]
        self._screen.advance(moment, exchange.rows, exchange.status == 200)
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            self._look()

    def _reveal(self, part: Slice) -> None:
        """A week after a window its labels are known: to the monitor, and to the next training.

        Only once the monitor has looked at the labels before, and a retraining that it started then has
        read its rows: how fast the machine is does not decide what a retraining sees.
        """
        if self._revealed is not None:
            before = self._revealed.window
            self._wait(
                lambda: self.observer.is_judged(before) and not self.observer.is_reading(), _JUDGE_SECONDS
            )
        self._landing.land(part)
        self.replay.send_labels(part.first, part.last)
        self._revealed = part

    def _look(self) -> None:
        self._looked = time.monotonic()
        for child in self._children:
            child.check()
        for message in self.observer.alarms():
            self._screen.event("alarm", message)
        for retraining in self.observer.changes():
            self._screen.retraining(retraining)
        if self.observer.is_retraining:
            self.pace.slow.set()
        else:
            self.pace.slow.clear()

    def _wait(self, done: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        self._look()
        while not done() and time.monotonic() < deadline:
            time.sleep(0.2)
            self._look()


def _fresh_folder(folder: Path | None) -> Path:
    if folder is None:
        return Path(tempfile.mkdtemp(prefix="pilotage-demo-"))
    place = folder.expanduser().absolute()
    try:
        place.mkdir(parents=True, exist_ok=True)
        used = any(place.iterdir())
    except OSError as error:
        raise errors.SettingsError(
            f"The folder `{folder}` cannot be made: {error.strerror}.", remedy="Name another with `--folder`."
        ) from error
    if used:
        raise errors.SettingsError(
            f"The folder `{folder}` is not empty.", remedy="Name a new one with `--folder`, or leave it out."
        )
    return place


def _first_champion(landing: Landing, home: Settings, output: Output) -> int:
    pilot = landing.pilot
    with RunProgress(output, prefix="    ") as progress:
        result = runs.run(pilot.spec, pilot.folder, home, on_event=progress.on_event)
    if not result.promoted or result.version is None:
        reason = (result.error or {}).get("message") or result.reason
        raise errors.Failure(
            f"The first training did not make a champion: {reason}", remedy=f"See {result.logs}."
        )
    return result.version


@contextmanager
def _running(landing: Landing, home: Settings, screen: Screen) -> Iterator[tuple[Child, Child, str]]:
    """Server and monitor as processes, while the block runs."""
    folder = str(landing.pilot.folder)
    one_core_each = {"OMP_NUM_THREADS": "1"}  # for server and retraining, which the monitor starts
    environment = {**os.environ, **environments.variables(home), **one_core_each}
    ready = home.home / "server.json"
    serve = ["serve", folder, "--port", "0", "--ready-file", str(ready), "-v"]
    follow = ["monitor", folder, "--follow", "--every", "1s", "--json", "-v"]
    with Child("model server", serve, home.logs / "server.log", environment) as server:
        server.wait_for(ready.is_file, _START_SECONDS)
        url = str(json.loads(ready.read_text())["url"])
        screen.chapter(f"Version 1 is champion and served on {url} by process {server.pid}")
        with Child("monitor", follow, home.logs / "monitor.log", environment) as monitor:
            yield server, monitor, url
            screen.finish()


def _result(
    place: Path, landing: Landing, home: Settings, stage: Stage, champion: int, began: float
) -> Result:
    from pilotage.core.registry import Registry

    name, times = landing.pilot.name, landing.traffic[landing.time]
    labels = landing.traffic[landing.target].to_numpy().astype(bool)
    first = tallies.scores_of(champion, name, home, landing.traffic)
    live, exchanges = stage.replay.scores, sorted(stage.replay.exchanges, key=lambda item: item.first)
    reports, retrainings = stage.observer.reports(), stage.observer.retrainings()
    versions = [
        {
            "version": registered.version,
            "aliases": list(registered.aliases),
            "created_at": registered.created_at.isoformat(),
            "requests": sum(item.version == registered.version for item in exchanges),
        }
        for registered in reversed(Registry(home).versions(name))
    ]
    return Result(
        folder=place,
        months=tallies.months(times, labels, first, live, exchanges, reports, retrainings),
        comparison=tallies.comparison(labels, np.asarray(first), live, exchanges),
        versions=versions,
        retrainings=retrainings,
        promotions=tallies.promotions(exchanges, retrainings, times, champion),
        reports=[stage.observer.page(report) for report in reports],
        alarms=sum(len(report.alarms) for report in reports),
        seconds=time.monotonic() - began,
    )
