"""Pilots that are known: whoever runs one makes it known, and two at once make one."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from pilotage.core import errors
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec
from pilotage.pipelines import tables
from pilotage.pipelines.journals import catalogues
from pilotage.pipelines.journals.records import Records

pytestmark = pytest.mark.databases


def test_a_run_makes_its_pilot_known(installation: Settings, spec: PilotSpec):
    engine = tables.connect(installation)
    with engine.connect() as connection, pytest.raises(errors.NotFound, match="`small`"):
        catalogues.get(connection, "small")
    Records(engine).begin_run("r1", spec, Path("/pilot"), ("ingest",))
    with engine.connect() as connection:
        assert catalogues.entries(connection) == [catalogues.Entry("small", Path("/pilot"), spec)]


def test_what_did_not_change_is_no_change(installation: Settings, spec: PilotSpec):
    with tables.connect(installation).begin() as connection:
        assert catalogues.put(connection, spec, Path("/pilot"))
        assert not catalogues.put(connection, spec, Path("/pilot"))
        assert catalogues.put(connection, spec, Path("/moved"))
        assert catalogues.get(connection, "small").folder == Path("/moved")


def test_two_at_once_make_one(installation: Settings, spec: PilotSpec):
    engine = tables.connect(installation)

    def put() -> None:
        with engine.begin() as connection:
            catalogues.put(connection, spec, Path("/pilot"))

    threads = [threading.Thread(target=put) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with engine.connect() as connection:
        assert len(catalogues.entries(connection)) == 1
