"""Dashboards are as Grafana reads them: ids, places, the chosen data source, units, legends."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
import yaml
from tests.integration.observability import expressions
from tests.integration.observability.expressions import FOLDER

BOARDS = expressions.dashboards()
KINDS = {"row", "timeseries", "stat", "bargauge", "table"}
UNITS = {"short", "s", "percentunit", "reqps", "ops", "bytes"}


def shown(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Panels but for rows' headings."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_a_dashboard_is_as_grafana_reads_it(name: str) -> None:
    board = BOARDS[name]
    assert board["uid"] == f"pilotage-{name.removesuffix('.json')}"
    assert (board["schemaVersion"], board["editable"], board["tags"]) == (39, False, ["pilotage"])
    assert "id" not in board, "Grafana gives it"
    first, *others = board["templating"]["list"]
    assert (first["name"], first["type"], first["query"]) == ("datasource", "datasource", "prometheus")
    assert all(variable["datasource"]["uid"] == "${datasource}" for variable in others)
    ids = [panel["id"] for panel in board["panels"]]
    assert ids == list(range(1, len(ids) + 1))


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_panels_have_a_place_of_their_own(name: str) -> None:
    places = [panel["gridPos"] for panel in BOARDS[name]["panels"]]
    assert all(place["x"] + place["w"] <= 24 and place["w"] > 0 and place["h"] > 0 for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_panels_say_what_they_show(name: str) -> None:
    board = BOARDS[name]
    assert {panel["type"] for panel in board["panels"]} <= KINDS
    titles = [panel["title"] for panel in shown(board)]
    assert len(set(titles)) == len(titles)
    for panel in shown(board):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
        assert panel["datasource"]["uid"] == "${datasource}"
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs) > 0
        for target in panel["targets"]:
            assert target["instant"] is not target["range"]
            if panel["type"] == "timeseries":
                assert target["legendFormat"] != "__auto", panel["title"]
        values = [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]]
        assert values[0] is None
        assert values[1:] == sorted(values[1:])


def test_grafana_finds_them() -> None:
    folder = FOLDER / "grafana" / "provisioning"
    dashboards = yaml.safe_load((folder / "dashboards" / "pilotage.yaml").read_text("utf-8"))
    assert dashboards["providers"][0]["type"] == "file"
    sources = yaml.safe_load((folder / "datasources" / "prometheus.yaml").read_text("utf-8"))
    assert sources["datasources"][0]["type"] == "prometheus"
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text("utf-8"))
    [generated] = kustomization["configMapGenerator"]
    assert {file.rpartition("/")[2] for file in generated["files"]} == set(BOARDS)
