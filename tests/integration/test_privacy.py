"""From personal data in a source to nothing of it anywhere, and rows that are forgotten for good.

One pilot is run, served and labelled; values that nobody else has are looked for in every file.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine, insert, select, update

from pilotage.components import ingest, snapshots, train
from pilotage.components import score as scoring
from pilotage.core import errors, pilots, samples, settings
from pilotage.core.artifacts import Report, Scorecard, Snapshot
from pilotage.core.personal import erasures as notes
from pilotage.core.personal import keys
from pilotage.core.pilots import Pilot
from pilotage.core.profiles import ReferenceProfile
from pilotage.core.registry import Registry
from pilotage.core.settings import Settings
from pilotage.core.storage import Storage
from pilotage.pipelines import studies, tables
from pilotage.pipelines.deletions import erasures, holdings, previews, retentions
from pilotage.pipelines.execution import runs
from pilotage.pipelines.journals import audits, records, states
from pilotage.pipelines.studies import batches, uploads
from pilotage.serving.endpoints import Endpoint
from pilotage.serving.inference.works import Request
from pilotage.serving.limits import Limits
from pilotage.serving.protocols import codecs
from pilotage.serving.telemetry.meters import Meters

CANARY = "kanarienvogel"
KEY = "5b1f0c9d7e3a48269f60d2c4b8a1e753"
ROWS = 400
YAML = """\
version: 1
pilot: people
goal: {metric: roc_auc}
data:
  source: people.csv
  target: late
  key: customer
  retention: 90d
  augment: {classes: {"yes": 0.6}}
  personal:
    columns: {customer: hash, team: hash, phone: drop}
    kinds: {email: mask}
train: {estimator: logistic_regression}
"""


def row(number: int) -> dict[str, Any]:
    random = np.random.default_rng(number)
    age, spent = int(random.integers(18, 80)), round(float(random.normal(100, 30)), 2)
    return {
        "customer": f"{CANARY}{number}@mail.example",
        "team": f"{CANARY}-team-{number % 4}",
        "phone": f"+49 30 5550{number:04}",
        "note": f"ask {CANARY}{number}@mail.example" if number % 9 == 0 else "none",
        "age": age,
        "spent": spent,
        "late": "yes" if age + spent + random.normal(0, 15) > 155 else "no",
    }


def write_source(folder: Path, numbers: range) -> None:
    rows = [row(number) for number in numbers]
    lines = [",".join(rows[0]), *(",".join(map(str, each.values())) for each in rows)]
    (folder / "people.csv").write_text("\n".join(lines) + "\n")


def stored(number: int) -> str:
    return keys.digest(KEY.encode(), f"{CANARY}{number}@mail.example")


@dataclass
class World:
    """An installation with one pilot that was run and served."""

    pilot: Pilot
    settings: Settings
    engine: Engine
    answers: dict[int, dict[str, Any]] = field(default_factory=dict)

    def holding(self, text: str) -> list[str]:
        """Files of the installation that hold `text`, also inside of Parquet files."""
        found = []
        for file in self.settings.home.rglob("*"):
            if file.is_file():
                held = file.read_bytes()
                if file.suffix == ".parquet":
                    held += str(pq.read_table(file).to_pydict()).encode()
                if text.encode() in held:
                    found.append(str(file.relative_to(self.settings.home)))
        return found

    def forget(self, *numbers: int) -> erasures.Erased:
        wanted = [f"{CANARY}{number}@mail.example" for number in numbers]
        return erasures.forget(self.engine, self.settings, "people", wanted, who="jo", why="asked for")

    def audit(self) -> list[audits.Record]:
        return [record for record in audits.read(self.engine) if record.action == erasures.ACTION]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    place = tmp_path_factory.mktemp("privacy")
    write_source(place, range(ROWS))
    (place / "pilot.yaml").write_text(YAML)
    installation = settings.load(home=place / "home", personal_key=KEY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PILOTAGE_PERSONAL_KEY", KEY)
        patch.setenv("PILOTAGE_HOME", str(installation.home))
        pilot = pilots.load(place)
        done = runs.run(pilot.spec, pilot.folder, installation)
        assert done.promoted, done
        made = World(pilot, installation, tables.connect(installation))
        serve(made)
        yield made
        made.engine.dispose()


def serve(world: World) -> None:
    """Have 40 rows served by a real endpoint, and their labels told."""
    endpoint = Endpoint(
        world.pilot, world.settings, Limits(), Storage(world.settings.storage), Meters({"people": 0.1})
    )
    endpoint.start(30)
    try:
        sent = [row(number) for number in range(40)]
        body = json.dumps({"rows": sent, "ids": [each["customer"] for each in sent]}).encode()
        request = Request(body, "application/json", codecs.rows, time.perf_counter())
        world.answers[0] = json.loads(endpoint.plane.infer(request).body)
        labels = {"ids": [each["customer"] for each in sent], "labels": [each["late"] for each in sent]}
        endpoint.keep_labels(json.dumps(labels).encode(), "application/json")
    finally:
        endpoint.stop()


def test_no_personal_value_is_in_any_file_after_a_run_and_traffic(world: World) -> None:
    assert world.holding(CANARY) == []
    assert world.holding("+49 30 555") == [], "a dropped column leaves nothing"
    assert KEY not in str(world.settings)


def test_no_row_is_kept_where_no_key_could_find_it(world: World) -> None:
    """Neither the model's example of its input nor what the scorecard explains is a row of the source."""
    registry = Registry(world.settings)
    champion = registry.champion("people")
    assert champion is not None
    held = json.loads((registry.folder(champion) / "input_example.json").read_text())
    (example,) = (dict(zip(held["columns"], values, strict=True)) for values in held["data"])
    rows = [row(number) for number in range(ROWS)]
    assert 18 <= example["age"] < 80
    assert not [each for each in rows if (each["age"], each["spent"]) == (example["age"], example["spent"])]
    explained = registry.scorecard(champion).explanations
    assert explained is not None
    assert explained.examples == ()
    assert any("the source has personal data" in gap for gap in explained.gaps)
    assert explained.importances


def test_the_server_asks_the_model_what_it_was_trained_on(world: World) -> None:
    """The answers to raw rows are those of batch scoring, and of the champion on replaced values."""
    (world.pilot.folder / "rows.jsonl").write_text("".join(json.dumps(row(n)) + "\n" for n in range(40)))
    target = world.settings.home / "scored.parquet"
    scoring.score("people", world.settings, "rows.jsonl", target, folder=world.pilot.folder)
    scored = pq.read_table(target)
    target.unlink()
    answer = world.answers[0]
    assert answer["predictions"] == scored.column("prediction").to_pylist()
    assert answer["ids"] == [row(number)["customer"] for number in range(40)], (
        "callers get their own ids back"
    )
    assert scored.column("customer").to_pylist() == [stored(number) for number in range(40)]
    registry = Registry(world.settings)
    champion = registry.champion("people")
    assert champion is not None
    profile = registry.profile(champion).features["team"]
    assert set(profile.categories) == {keys.digest(KEY.encode(), f"{CANARY}-team-{n}") for n in range(4)}  # type: ignore[union-attr]
    assert not any(counts for counts in unseen(world).values()), "no hashed value is new to the monitor"


def unseen(world: World) -> dict[str, Any]:
    from pilotage.core import window_files

    store = Storage(world.settings.storage)
    (name,) = [item for item in store.names("windows/people") if "/window-" in item]
    return window_files.decode(store.read(name)).novel


def test_labels_join_logged_rows_by_the_hash(world: World) -> None:
    store = Storage(world.settings.storage)
    logged = [pq.read_table(store.location(name)) for name in holdings.row_files(store, "people")]
    told = [pq.read_table(store.location(name)) for name in holdings.label_files(store, "people")]
    ids = {value for part in logged for value in part.column("id").to_pylist()}
    assert ids == {value for part in told for value in part.column("id").to_pylist()}
    assert stored(3) in ids


def test_a_server_without_the_secret_of_training_does_not_serve(world: World) -> None:
    registry = Registry(world.settings)
    champion = registry.champion("people")
    assert champion is not None
    from pilotage.serving.versions import lives

    for secret in ("", KEY[::-1]):
        other = world.settings.model_copy(
            update={"personal_key": settings.load(personal_key=secret).personal_key}
        )
        with pytest.raises(errors.SettingsError, match="PILOTAGE_PERSONAL_KEY"):
            lives.load(registry, other, champion)


def test_a_version_says_which_synthetic_rows_it_saw_and_was_judged_by_them(world: World) -> None:
    registry = Registry(world.settings)
    champion = registry.champion("people")
    assert champion is not None
    model = registry.model(champion)
    assert model.synthetic is not None
    assert model.synthetic.rows == model.synthetic.classes["yes"] > 50
    assert model.train_rows + model.test_rows == ROWS, "synthetic rows count among neither"
    assert registry.profile(champion).rows == model.train_rows
    card = registry.run_file(champion.run, Scorecard.FILE)
    gates = {verdict.gate for verdict in Scorecard.read(card).gates}
    assert {
        "synthetic_copies <= 0.01",
        "low end of synthetic_closeness <= 0.55",
        "low end of synthetic_membership <= 0.55",
    } <= gates


def test_a_forgotten_key_is_nowhere_and_leaves_a_trace_without_it(world: World) -> None:
    before = Registry(world.settings).champion("people")
    assert before is not None
    digest = Registry(world.settings).model(before).snapshot
    assert world.holding(stored(5))
    done = world.forget(5)
    assert world.holding(stored(5)) == []
    assert (done.logged_rows, done.labels) == (2, 1), "the row log and the sample of served rows"
    (replaced,) = done.snapshots
    assert replaced.rows == 1
    note = notes.note_of(Storage(world.settings.storage), replaced.digest)
    assert note is not None
    assert note.replaced_by == replaced.replaced_by
    assert done.versions == [before.version]
    champion = Registry(world.settings).champion("people")
    assert champion is not None
    assert erasures.MARK in champion.tags[erasures.TAG]
    record = world.audit()[0]
    assert (record.who, record.why) == ("jo", "asked for")
    told = json.dumps(dict(record.details))
    assert stored(5) not in told
    assert CANARY not in told
    assert audits.verify(world.engine).problem is None
    assert digest != replaced.replaced_by
    held = Snapshot.read(Registry(world.settings).run_file(champion.run, Snapshot.FILE))
    with pytest.raises(errors.NotFound, match="erased on"):
        snapshots.read_table(world.settings, held)


def test_what_is_left_is_what_a_source_without_the_row_gives(world: World, tmp_path: Path) -> None:
    """The rewritten snapshot is content-addressed like any other: ingesting again finds it."""
    done = world.forget(7)
    again = ingest.ingest(world.pilot.spec, world.pilot.folder, world.settings, tmp_path)
    latest = done.snapshots[-1].replaced_by
    assert again.digest == latest
    assert again.forgotten >= 1
    assert world.holding(stored(7)) == []


def test_an_erasure_says_which_cards_explain_rows_without_keys(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = SimpleNamespace(explanations=SimpleNamespace(examples=("typical", "wrong")))
    monkeypatch.setattr(Registry, "scorecard", lambda *_: card)
    done = world.forget(9)
    assert any("scorecard of version 1 explains 2 held-out rows" in note for note in done.notes)


class Killed(BaseException):
    """In the place of a kill: nothing of ours may catch it."""


def interrupt(number: int, patch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Let the `number`-th change of anything stored be the one before which the process dies."""
    count = 0

    def before(function: Callable[..., Any]) -> Callable[..., Any]:
        def act(*arguments: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            if count == number:
                raise Killed
            return function(*arguments, **named)

        return act

    for owner, name in (
        (Storage, "write"), (Storage, "put"), (Storage, "delete"), (Storage, "publish"), (Registry, "tag"),
        (samples, "write"), (audits, "write"),
    ):  # fmt: skip
        patch.setattr(owner, name, before(getattr(owner, name)))
    return lambda: count


def test_an_erasure_that_is_cut_off_anywhere_is_finished_by_the_next(world: World) -> None:
    number, done = 0, False
    while not done:
        number += 1
        person = 100 + number
        with pytest.MonkeyPatch.context() as patch:
            count = interrupt(number, patch)
            try:
                world.forget(person)
            except Killed:
                pass
            else:
                done = count() < number
        if number % 2:
            world.forget(person)
        else:
            assert done or [item.pilot for item in erasures.resume(world.engine, world.settings)] == [
                "people"
            ]
        assert world.holding(stored(person)) == [], f"cut off before change {number}"
        table = tables.deletions
        with tables.reading(world.engine) as connection:
            assert set(connection.scalars(select(table.c.state))) == {"done"}
    assert number > 6, "an erasure changes more than that"
    digests = [tuple(record.details["keys"]) for record in world.audit()]
    assert len(digests) == len(set(digests)) or number % 2, "each is told of once"
    assert audits.verify(world.engine).problem is None


SCRIPT = """
import os, signal, sys
from pilotage.core.storage import Storage
from pilotage.console import cli
number, count, before = int(sys.argv[1]), 0, Storage.delete
def delete(self, name):
    global count
    count += 1
    if count == number:
        os.kill(os.getpid(), signal.SIGKILL)
    before(self, name)
Storage.delete = delete
sys.exit(cli.run(sys.argv[2:]))
"""


def test_a_killed_command_is_finished_by_the_same_command(world: World) -> None:
    arguments = ["forget", "people", f"{CANARY}300@mail.example", "--reason", "asked", "--json"]
    place = {**os.environ, "PILOTAGE_HOME": str(world.settings.home), "PILOTAGE_PERSONAL_KEY": KEY}
    killed = subprocess.run(
        [sys.executable, "-c", SCRIPT, "2", *arguments], capture_output=True, check=False, env=place
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    done = subprocess.run(
        [sys.executable, "-m", "pilotage.console", *arguments],
        capture_output=True,
        check=True,
        text=True,
        env=place,
    )
    assert world.holding(stored(300)) == []
    assert CANARY not in done.stdout + done.stderr
    assert json.loads(done.stdout)["mark"] == erasures.MARK


@pytest.mark.parametrize(
    ("wanted", "why", "message"),
    [([], "x", "no key"), ([""], "x", "empty"), (["a"], " ", "No reason"), (["a"] * 10_001, "x", "at most")],
)
def test_an_erasure_that_says_too_little_is_refused(
    world: World, wanted: list[str], why: str, message: str
) -> None:
    with pytest.raises(errors.RequestError, match=message):
        erasures.forget(world.engine, world.settings, "people", wanted, who="jo", why=why)


def test_a_key_that_nobody_has_changes_nothing(world: World) -> None:
    before = world.holding("part-00000")
    done = world.forget(99_999)
    assert done.nowhere == [1], "a mistyped key must not go unseen"
    asked = previews.preview(
        world.engine, world.settings, "people", [f"{CANARY}99999@mail.example", f"{CANARY}200@mail.example"]
    )
    assert asked.nowhere == (1,)
    assert (done.snapshots, done.logged_rows, done.labels, done.reference_rows) == ([], 0, 0, 0)
    assert world.holding("part-00000") == before


def other_snapshot(world: World, folder: Path, days: int) -> str:
    """A snapshot of other rows that a run used so many days ago; returns its digest."""
    folder.mkdir()
    write_source(folder, range(1000, 1100))
    (folder / "pilot.yaml").write_text(YAML)
    found = ingest.ingest(world.pilot.spec, folder, world.settings, folder / "out")
    moment, name = datetime.now(UTC) - timedelta(days=days), states.new_id()
    run = {
        "id": name, "pilot": "people", "state": "succeeded", "asked_at": moment, "asked_by": "jo", "why": "",
        "parameters": {}, "folder": str(folder), "spec": world.pilot.spec.model_dump(mode="json"),
    }  # fmt: skip
    outputs = {"snapshot": {"digest": found.digest, "uri": str(folder / "out")}}
    step = {"run": name, "name": "ingest", "position": 0, "state": "succeeded", "outputs": outputs}
    with world.engine.begin() as connection:
        connection.execute(insert(tables.runs), run)
        connection.execute(insert(tables.steps), step)
    return found.digest


def test_what_is_older_than_the_pilot_keeps_it_goes(world: World, tmp_path: Path) -> None:
    old = other_snapshot(world, tmp_path / "old", 100)
    store = Storage(world.settings.storage)
    later = datetime.now(UTC) + timedelta(days=91)
    windows = [name for name in store.names("windows/people") if "/window-" in name]
    (planned,) = retentions.purge(world.engine, world.settings, "people", who="jo", dry_run=True, now=later)
    assert old in planned.snapshots
    assert store.published(f"snapshots/{old}"), "a dry run deletes nothing"
    assert list(holdings.row_files(store, "people"))
    (today,) = retentions.purge(world.engine, world.settings, "people", who="jo")
    assert today.snapshots == [old]
    assert not store.published(f"snapshots/{old}")
    note = notes.note_of(store, old)
    assert note is not None
    assert "data.retention" in note.sentence
    assert list(holdings.row_files(store, "people")), "what is young stays"
    (done,) = retentions.purge(world.engine, world.settings, "people", who="jo", now=later)
    assert (list(holdings.row_files(store, "people")), list(holdings.label_files(store, "people"))) == (
        [],
        [],
    )
    assert [name for name in store.names("windows/people") if "/window-" in name] == windows, (
        "they are counts"
    )
    assert done.row_files == planned.row_files
    (again,) = retentions.purge(world.engine, world.settings, "people", who="jo", now=later)
    assert again.empty
    record = audits.read(world.engine)[0]
    assert (record.action, record.who) == (retentions.ACTION, "jo")


def elsewhere(world: World, state: str) -> str:
    """A run that a cluster carries out, whose ingest has not told yet what it uses."""
    name = states.new_id()
    run = {
        "id": name, "pilot": "people", "state": state, "asked_at": datetime.now(UTC), "asked_by": "jo",
        "why": "", "parameters": {}, "folder": "/elsewhere", "spec": world.pilot.spec.model_dump(mode="json"),
    }  # fmt: skip
    with world.engine.begin() as connection:
        connection.execute(insert(tables.runs), run)
    return name


def over(world: World, run: str) -> None:
    with world.engine.begin() as connection:
        connection.execute(update(tables.runs).where(tables.runs.c.id == run).values(state="succeeded"))


def test_nothing_is_deleted_under_a_run_that_goes_on(world: World, tmp_path: Path) -> None:
    old = other_snapshot(world, tmp_path / "old", 100)
    run = elsewhere(world, "running")
    (found,) = retentions.purge(world.engine, world.settings, "people", who="jo")
    assert [(item.digest, item.why) for item in found.kept] == [
        (old, "a run or a study in progress may use it")
    ]
    over(world, run)
    (found,) = retentions.purge(world.engine, world.settings, "people", who="jo")
    assert found.snapshots == [old]


def test_an_erasure_during_a_run_elsewhere_is_done_again_after_it(world: World) -> None:
    run, told = elsewhere(world, "running"), len(world.audit())
    first = world.forget(399)
    assert first.notes == [erasures.AGAIN]
    assert world.holding(stored(399)) == []
    assert [item.id for item in erasures.resume(world.engine, world.settings)] == [first.id]
    assert len(world.audit()) == told
    over(world, run)
    assert [item.notes for item in erasures.resume(world.engine, world.settings)] == [[]]
    assert len(world.audit()) == told + 1


def test_an_erasure_that_cannot_be_finished_keeps_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [erasures._begin(world.engine, "people", [f"{place:064}"], "jo", "asked") for place in range(2)]
    before = erasures._carry_out

    def carry_out(engine: Engine, given: Settings, spec: Any, identity: str) -> erasures.Erased:
        if identity == wanted[0]:
            raise errors.DataError("`rows-1.parquet` is no Parquet file.")
        return before(engine, given, spec, identity)

    with monkeypatch.context() as patch:
        patch.setattr(erasures, "_carry_out", carry_out)
        assert [item.id for item in erasures.resume(world.engine, world.settings)] == [wanted[1]]
    assert [item.id for item in erasures.resume(world.engine, world.settings)] == [wanted[0]]


def test_what_was_deleted_before_a_purge_was_cut_short_is_told_of(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = other_snapshot(world, tmp_path / "old", 100)

    def broken(*_: Any) -> Any:
        raise errors.Unavailable("The storage does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(holdings, "row_files", broken)
        with pytest.raises(errors.Unavailable):
            retentions.purge(world.engine, world.settings, "people", who="jo")
    assert audits.read(world.engine)[0].details["snapshots"] == [old]


def test_a_purge_that_was_killed_between_two_files_is_finished_by_the_next(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = other_snapshot(world, tmp_path / "old", 100)
    store = Storage(world.settings.storage)
    place = Path(store.location(f"snapshots/{old}"))
    delete = Storage.delete

    def killed(self: Storage, name: str) -> None:
        if name == f"snapshots/{old}":
            raise KeyboardInterrupt
        delete(self, name)

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "delete", killed)
        with pytest.raises(KeyboardInterrupt):
            retentions.purge(world.engine, world.settings, "people", who="jo")
    assert list(place.glob("*.parquet")), "its rows are there, and nobody can find them any more"
    assert not store.published(f"snapshots/{old}")
    (planned,) = retentions.purge(world.engine, world.settings, "people", who="jo", dry_run=True)
    assert planned.snapshots == []
    assert place.exists()
    retentions.purge(world.engine, world.settings, "people", who="jo")
    assert not place.exists()


def test_keys_that_are_forgotten_at_once_are_all_noted(world: World) -> None:
    digests = [f"{place:064x}" for place in range(1, 13)]

    def note(digest: str) -> None:
        erasures._noted(world.engine, world.settings, "crowd", [digest])

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(note, digests))
    assert notes.Forgotten(world.settings, "crowd").digests == frozenset(digests)


def test_what_the_champion_was_trained_on_stays_and_why_is_said(world: World, tmp_path: Path) -> None:
    registry = Registry(world.settings)
    champion = registry.champion("people")
    assert champion is not None
    held = ingest.ingest(world.pilot.spec, world.pilot.folder, world.settings, tmp_path / "out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(holdings, "trained", lambda *_: {champion.version: (champion, held.digest)})
        patch.setattr(
            holdings,
            "uses",
            lambda *_: [
                holdings.Use(held.digest, "people", frozenset(), datetime(2020, 1, 1, tzinfo=UTC), False)
            ],
        )
        (found,) = retentions.purge(world.engine, world.settings, "people", who="jo", dry_run=True)
    assert found.snapshots == []
    assert [item.why for item in found.kept] == [
        f"version {champion.version}, the champion, was trained on it"
    ]


def test_no_run_begins_while_a_snapshot_that_it_could_use_is_deleted(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that begins in the last moment waits, and finds the snapshot gone as a whole."""
    old = other_snapshot(world, tmp_path / "old", 100)
    begun, drop, name = threading.Event(), retentions._drop, states.new_id()

    def begin() -> None:
        records.Records(world.engine).begin_run(name, world.pilot.spec, world.pilot.folder, ["ingest"])
        begun.set()

    late = threading.Thread(target=begin)

    def dropped(*arguments: Any) -> None:
        late.start()
        assert not begun.wait(0.3), "it began between the question and the deletion"
        drop(*arguments)

    monkeypatch.setattr(retentions, "_drop", dropped)
    (found,) = retentions.purge(world.engine, world.settings, "people", who="jo", why="tidy")
    late.join()
    over(world, name)
    assert found.snapshots == [old]
    assert begun.is_set()
    assert audits.read(world.engine)[0].why == "tidy"


def test_a_snapshot_that_a_run_used_meanwhile_stays(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = other_snapshot(world, tmp_path / "old", 100)
    uses = holdings.uses
    seen: list[str] = []

    def told(engine: Engine, pilot: str | None = None) -> list[holdings.Use]:
        found = uses(engine, pilot)
        if pilot is not None and not seen:  # it has looked; now a whole run comes and goes
            seen.append(other_snapshot(world, tmp_path / "again", 0))
        return found

    monkeypatch.setattr(holdings, "uses", told)
    (found,) = retentions.purge(world.engine, world.settings, "people", who="jo")
    assert seen == [old], "the same rows, the same snapshot"
    assert old not in found.snapshots
    assert [item.why for item in found.kept if item.digest == old] == ["a run used it while this went on"]


def test_a_preview_tells_what_an_erasure_then_takes_and_changes_nothing(world: World) -> None:
    person = [f"{CANARY}23@mail.example"]
    vectors = world.settings.home / "cache" / "embeddings" / "model.sqlite"
    vectors.parent.mkdir(parents=True, exist_ok=True)
    vectors.write_bytes(b"")
    storage, scores = Storage(world.settings.storage), f"studies/people/s1/{batches.FILE}"
    column = world.pilot.spec.data.key
    kept = io.BytesIO()
    pq.write_table(pa.table({column: [stored(23), stored(24)], "score": [0.1, 0.2]}), kept, row_group_size=1)
    storage.write(scores, kept.getvalue())
    waiting = uploads.keep(storage, "people", "t.csv", b"a\n1\n")
    before = world.holding(stored(23))
    found = previews.preview(world.engine, world.settings, "people", person)
    assert world.holding(stored(23)) == before
    assert vectors.exists()
    done = world.forget(23)
    taken = {item.digest: item.rows for item in done.snapshots}
    assert {digest: taken[digest] for digest in found.snapshots} == found.snapshots
    told = (done.logged_rows, done.labels, done.reference_rows, done.score_rows)
    assert (found.logged_rows, found.labels, found.reference_rows, found.score_rows) == told
    assert done.score_rows == 1
    assert pq.read_table(pa.BufferReader(storage.read(scores)))[column].to_pylist() == [stored(24)]
    with pytest.raises(errors.NotFound):
        uploads.find(storage, "people", waiting)
    assert not vectors.exists(), "vectors of texts may be the person's"
    again = previews.preview(world.engine, world.settings, "people", person)
    assert (again.snapshots, again.logged_rows, again.labels, again.reference_rows) == ({}, 0, 0, 0)


def test_an_erasure_drops_tables_of_scores_that_nobody_finished(world: World) -> None:
    kind, places = studies.Kind.SCORE, []
    for _ in range(2):
        study = studies.ask(world.engine, "people", kind, {}, "jo")
        places.append(batches.place_of(world.settings, study))
        places[-1].mkdir(parents=True)
        (places[-1] / "table.csv").write_text(f"customer\n{stored(31)}\n")
        if len(places) == 1:
            studies.cancel(world.engine, study, "jo")
    world.forget(31)
    assert [place.exists() for place in places] == [False, True], "that of a study that goes on stays"
    studies.cancel(world.engine, study, "jo")
    world.forget(31)
    assert not places[1].exists()


def test_held_out_rows_profile_and_baseline_are_the_same_without_synthetic_rows(
    world: World, tmp_path: Path
) -> None:
    """Only what an estimator is fitted on differs: a seed gives the same held-out rows either way."""
    snapshot = ingest.ingest(world.pilot.spec, world.pilot.folder, world.settings, tmp_path)
    report = Report(
        pilot="people", snapshot=snapshot.digest, suite="a" * 64, drafted=True, success=True, checks=(),
        created_at=datetime.now(UTC),
    )  # fmt: skip
    plain = world.pilot.spec.model_copy(
        update={"data": world.pilot.spec.data.model_copy(update={"augment": None})}
    )
    registry, found = Registry(world.settings), []
    for name, spec in (("with", world.pilot.spec), ("again", world.pilot.spec), ("without", plain)):
        out = tmp_path / name
        trained = train.train(spec, world.pilot.folder, world.settings, snapshot, report, name, out)
        folder = registry.folder_at(registry.model_location(trained.uri))
        sample = samples.read(folder / "pilotage" / samples.REFERENCE_FILE)
        profile = ReferenceProfile.read(folder / "pilotage")
        found.append((trained.model, sample, profile))
    (first, sample, profile), (again, repeated, _), (second, other, second_profile) = found
    assert (first.train_rows, first.test_rows) == (second.train_rows, second.test_rows)
    rows = ["id", "time", "priority", "truth", "features"]
    assert sample.select(rows).equals(other.select(rows))
    assert profile.features == second_profile.features
    assert sample.equals(repeated), "a seed repeats what the model says, too"
    assert not sample.column("score").equals(other.column("score")), "without, it says something else"
    assert first.synthetic is not None
    assert again.synthetic is not None
    assert first.synthetic.model_dump() == again.synthetic.model_dump()
    assert second.synthetic is None
