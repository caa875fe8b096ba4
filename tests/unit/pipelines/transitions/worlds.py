"""A world around transitions that outlives the processes that act in it: git, registry and cluster in a file.

Each act is one replacement of the file, so that a process may be killed before or
after it. The cluster does what git says at once, well or not, as the test wants it.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pilotage.core import errors, settings
from pilotage.core.registry import Alias, Registered
from pilotage.core.settings import Settings
from pilotage.pipelines import tables
from pilotage.pipelines.clusters.workloads import Kind, Phase, Workload
from pilotage.pipelines.machines import leases
from pilotage.pipelines.machines.leases import Lease
from pilotage.pipelines.transitions import reconcilers, requests
from pilotage.pipelines.transitions.gits import Commit
from pilotage.pipelines.transitions.reconcilers import Reconciler
from pilotage.pipelines.transitions.requests import Wish
from pilotage.pipelines.transitions.stages import Transition

PILOT = "flights"
HOME = "production"
VERSIONS = (1, 2, 3, 4)


@dataclass
class World:
    """The file, and hands to change it with."""

    folder: Path
    down: set[str] = field(default_factory=set)
    """Of `git`, `cluster`, `registry`: what does not answer now."""
    before_act: Callable[[], None] = lambda: None
    """Called before each change of the world."""

    def __post_init__(self) -> None:
        if not self._file.exists():
            fresh = {
                "commits": [1],
                "main": 1,
                "proposed": False,
                "aliases": {"champion": 1},
                "tags": {str(number): {} for number in VERSIONS},
                "ill": [],
                "held": [],
                "pinned": None,
            }
            self.write(fresh)

    @property
    def _file(self) -> Path:
        return self.folder / "world.json"

    def read(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._file.read_text())
        return found

    def write(self, state: Mapping[str, Any]) -> None:
        self.before_act()
        beside = self._file.with_suffix(f".{os.getpid()}")
        beside.write_text(json.dumps(state))
        beside.replace(self._file)

    def set(self, **changes: Any) -> None:
        self.write({**self.read(), **changes})

    def need(self, what: str) -> None:
        if what in self.down:
            raise errors.Unavailable(f"The {what} does not answer.")

    @property
    def champion(self) -> int | None:
        return self.read()["aliases"].get("champion")  # type: ignore[no-any-return]

    def tag_of(self, version: int) -> str:
        return str(self.read()["tags"][str(version)].get("pilotage.decision"))

    def reason_of(self, version: int) -> str:
        return str(self.read()["tags"][str(version)].get("pilotage.reason"))


@dataclass
class FakeGit:
    world: World

    def release(self, pilot: str, version: int, *, by: str, reason: str, force: bool = False) -> Commit:
        self.world.need("git")
        state = self.world.read()
        proposed = state["proposed"]
        if state["commits"][-1] != version:
            state["commits"].append(version)
            if not proposed:
                state["main"] = version
            self.world.write(state)
        return Commit(
            f"{len(state['commits']):040d}", "branch", "https://forge/1" if proposed else None, proposed
        )

    def revert(self, pilot: str, version: int, *, by: str, reason: str) -> bool:
        self.world.need("git")
        state = self.world.read()
        if state["main"] == version:
            before = [other for other in state["commits"] if other != version]
            state |= {"commits": [*state["commits"], before[-1]], "main": before[-1]}
            self.world.write(state)
        return True

    def read(self, pilot: str) -> int | None:
        self.world.need("git")
        return self.world.read()["main"]  # type: ignore[no-any-return]


@dataclass
class FakeRegistry:
    world: World
    client: object = None

    def aliases(self, name: str) -> dict[str, int]:
        self.world.need("registry")
        return dict(self.world.read()["aliases"])

    def version(self, name: str, version: int) -> Registered:
        self.world.need("registry")
        tags = self.world.read()["tags"][str(version)]
        return Registered(name, version, "run", "", datetime.now(UTC), tags)

    def tagged(self, key: str, value: str) -> list[tuple[str, int]]:
        self.world.need("registry")
        tags = self.world.read()["tags"]
        return sorted((PILOT, int(number)) for number, held in tags.items() if held.get(key) == value)

    def tag(self, name: str, version: int, tags: Mapping[str, str]) -> None:
        self.world.need("registry")
        state = self.world.read()
        state["tags"][str(version)] |= tags
        self.world.write(state)

    def withdraw(self, name: str, version: int) -> None:
        self._move(lambda held: {k: v for k, v in held.items() if (k, v) != (Alias.CHALLENGER, version)})

    def promote(self, name: str, version: int) -> None:
        def moved(held: dict[str, int]) -> dict[str, int]:
            if held.get("champion") == version:
                return held
            before = {"previous": held["champion"]} if "champion" in held else {}
            return {**held, **before, "champion": version}

        self._move(moved)

    def restore(self, name: str, version: int) -> None:
        self._move(lambda held: {**{k: v for k, v in held.items() if k != "previous"}, "champion": version})

    def _move(self, change: Any) -> None:
        self.world.need("registry")
        state = self.world.read()
        state["aliases"] = change(state["aliases"])
        self.world.write(state)


@dataclass
class FakeWatcher:
    world: World
    watches: bool = True

    def read(self, pilot: str) -> Workload | None:
        self.world.need("cluster")
        state = self.world.read()
        version = state["pinned"] or state["main"]
        phase, message = Phase.HEALTHY, ""
        if version in state["ill"]:
            phase, message = Phase.FAILED, "p99 beyond 50 ms"
        elif version in state["held"]:
            phase = Phase.PROGRESSING
        return Workload(Kind.ROLLOUT, pilot, "models", version, phase, message, 2, 2, 2, 2)


@dataclass
class Console:
    """The leader of one installation, restarted at will."""

    folder: Path
    watches: bool = True
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.world = World(self.folder)
        self.settings: Settings = settings.load(
            home=self.folder / "home",
            release_to=str(self.folder / "git"),
            cluster="kubeconfig" if self.watches else "none",
            **self.options,
        )
        self.engine = tables.connect(self.settings)
        self.reconciler = self.start()

    def start(self, lease: Lease | None = None) -> Reconciler:
        """A new process's reconciler, which leads."""
        held = lease or leases.acquire(self.engine, leases.LEADER, "this one", 600)
        made = Reconciler(
            self.settings,
            lambda: held,
            git=FakeGit(self.world),
            watcher=FakeWatcher(self.world, self.watches),
        )
        made._means.registry = FakeRegistry(self.world)  # type: ignore[assignment]
        return made

    def ask(self, version: int, action: str = "promote", who: str = "ada", **more: Any) -> bool:
        with self.engine.begin() as connection:
            return requests.ask(connection, Wish(PILOT, version, HOME, action, who, "it is better", **more))

    def tick(self, times: int = 1) -> None:
        """Look so often, each time as if everything were due."""
        for _ in range(times):
            self.make_due()
            self.reconciler.tick()

    def make_due(self) -> None:
        self.reconciler._discovered = -reconcilers._DISCOVER_SECONDS
        self.reconciler._means.git_looks.clear()
        with closing(sqlite3.connect(self.settings.home / "pilotage.db", timeout=30)) as connection:
            connection.execute("UPDATE transitions SET next_at = '2026-01-01 00:00:00.000000'")
            connection.commit()

    def find(self, version: int | None = None) -> Transition:
        """The newest transition, of a version."""
        found = requests.find(self.engine, PILOT)
        return next(item for item in found if version in (None, item.version))

    def told(self, table: str = "audit", column: str = "action") -> list[str]:
        with self.engine.begin() as connection:
            rows = connection.execute(tables.metadata.tables[table].select().order_by("id"))
            return [str(row._mapping[column]) for row in rows]
