"""Smaller models on the page about scaling: what is shown, what starts, who may; the bundle of a version."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from tests.unit.console.desks import actor, client

from pilotage.console.access.actors import Role
from pilotage.console.operations.desks import Desk
from pilotage.core import errors
from pilotage.core.artifacts import Candidate, Objective, Share, Shrink, Technique
from pilotage.pipelines import studies
from pilotage.pipelines.studies import Kind, Study, shrinks

PAGE = "/pilots/small/scaling"


def candidate(name: str, size: float, *reasons: str, technique: Technique = Technique.PRUNED) -> Candidate:
    share = Share(value=size, low=size, high=size)
    return Candidate(
        name=name,
        technique=technique,
        how="<smaller>",
        passed=not reasons,
        reasons=reasons,
        metric=0.8 + size / 100,
        drop=0.001,
        drop_low=-0.001,
        drop_high=0.002,
        agreement=0.99,
        features=2,
        size_bytes=int(size * 1e5),
        size=size,
        memory_bytes=4_000_000,
        row_microseconds=20.0,
        row=share,
        batch_microseconds=2.0,
        batch=share,
    )


def found(chosen: str | None = "small-trees") -> Shrink:
    unmade = Candidate(
        name="fewer-trees",
        technique=Technique.PRUNED,
        how="not made",
        passed=False,
        reasons=("<all> are needed",),
    )
    return Shrink(
        pilot="small",
        version=3,
        model="a" * 64,
        snapshot="b" * 64,
        metric="roc_auc",
        train_rows=800,
        test_rows=200,
        max_drop=0.01,
        at_most=0.5,
        rule=".",
        batch_rows=200,
        original=candidate("original", 1.0, technique=Technique.NONE),
        candidates=(candidate("small-trees", 0.4), candidate("float32", 0.8, "it saves too little"), unmade),
        chosen=chosen,
        reason="of 1 that passed",
        created_at=datetime.now(UTC),
    )


@pytest.fixture
def known(desk: Desk, write: Callable[..., Path]) -> TestClient:
    """An admin of an installation that knows a pilot."""
    write("a,b,y\n1,2,0\n2,3,1\n")
    admin = client(desk)
    assert admin.post("/api/v1/pilots", json={"folder": str(Path("pilot").absolute())}).status_code == 201
    return admin


def carry_out(desk: Desk, result: Shrink, **options: Any) -> str:
    told = shrinks.Options.model_validate(options).told
    with studies.carry_out(desk.settings, "small", Kind.SHRINK, told, "me") as work:
        work.finish(result.model_dump(mode="json"), shrinks.short(result))
        return work.study.id


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[Study]:
    """Studies that were to be started as processes."""
    made: list[Study] = []
    monkeypatch.setattr(studies, "launch", lambda _engine, _settings, study, _folder: made.append(study))
    return made


def test_a_pilot_without_a_study_is_told_the_command(known: TestClient) -> None:
    assert "pilotage shrink small" in known.get(PAGE).text


def test_the_page_shows_picture_table_and_reasons_with_everything_escaped(
    desk: Desk, known: TestClient
) -> None:
    study = carry_out(desk, found())
    page = known.get(PAGE).text
    assert "<svg" in page
    assert 'class="shrink"' in page
    assert "&lt;smaller&gt;" in page
    assert "&lt;all&gt; are needed" in page
    assert f'action="{PAGE}/shrink/{study}/register/small-trees"' in page
    assert f"register/float32{chr(34)}" not in page
    assert "register/original" not in page


def test_where_none_was_chosen_that_is_said(desk: Desk, known: TestClient) -> None:
    carry_out(desk, found(None))
    assert "none chosen" in known.get(PAGE).text


def test_the_page_only_looks_and_registers_what_is_asked_for(
    desk: Desk, known: TestClient, begun: list[Study]
) -> None:
    study = carry_out(desk, found(), max_drop=0.01, at_most=0.4, objective="size")
    assert known.post(f"{PAGE}/shrink", follow_redirects=False).status_code == 303
    assert begun[-1].options["register"] is False
    studies.cancel(desk.engine, begun[-1].id, "me", "")
    answer = known.post(f"{PAGE}/shrink/{study}/register/small-trees", follow_redirects=False)
    assert answer.status_code == 303
    told = {"version": 3, "choose": "small-trees", "register": True}
    assert dict(begun[-1].options) == {**told, "max_drop": 0.01, "at_most": 0.4, "objective": "size"}


def test_who_may_only_look_starts_and_registers_nothing(
    desk: Desk, known: TestClient, begun: list[Study]
) -> None:
    study = carry_out(desk, found())
    viewer = client(desk, actor(Role.VIEWER))
    assert "Find smaller models" not in viewer.get(PAGE).text
    assert viewer.post(f"{PAGE}/shrink/{study}/register/small-trees").status_code == 403
    assert begun == []


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"at_most": 0}, "at_most"),
        ({"max_drop": -1}, "max_drop"),
        ({"smaller": True}, "smaller"),
        ({"version": 0}, "version"),
    ],
)
def test_options_that_cannot_be_are_refused_by_name(
    known: TestClient, begun: list[Study], options: dict[str, Any], named: str
) -> None:
    answer = known.post("/api/v1/pilots/small/studies", json={"kind": "shrink", "options": options})
    assert answer.status_code in (400, 422)
    assert f"`{named}`" in answer.json()["detail"]
    assert begun == []


def test_a_version_that_is_not_there_has_no_bundle(known: TestClient) -> None:
    assert known.get("/api/v1/pilots/small/versions/7/bundle").status_code == 404


def test_the_command_refuses_options_that_cannot_be() -> None:
    from pilotage.console.commands.shrinks import Purpose, options_of

    with pytest.raises(errors.SettingsError, match="--at-most 2"):
        options_of(None, None, 2, None, objective=Purpose.SIZE, register=True)


def test_the_command_offers_every_objective() -> None:
    from pilotage.console.commands.shrinks import Purpose

    assert {item.value for item in Purpose} == {item.value for item in Objective}


def test_one_that_waits_because_it_is_slower_says_so(desk: Desk, known: TestClient) -> None:
    held = {"registered": 4, "decision": "pending", "held": "it is slower than version 3: 1.30 of <a> row"}
    carry_out(desk, found().model_copy(update=held))
    page = known.get(PAGE).text
    assert "a person is asked, for it is slower than version 3: 1.30 of &lt;a&gt; row" in page
