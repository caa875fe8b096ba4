"""Monitoring tests.

Each is about the newest window that the monitor has judged; a monitor that stopped loses the points.
"""

from __future__ import annotations

import itertools
import math
import statistics
from datetime import datetime, timedelta

from cronsim import CronSim

from pilotage.core import errors
from pilotage.core.metrics import Measure
from pilotage.core.registry.tags import SKEW_TAG
from pilotage.pipelines.readiness import fragments, places
from pilotage.pipelines.readiness.judges import words
from pilotage.pipelines.readiness.scores import Evidence, Finding, Means, earned, wanting
from pilotage.pipelines.readiness.subjects import Subject
from pilotage.pipelines.webhooks import endpoints

HEARD = timedelta(days=90)
"""How long ago somebody may have been told of something last."""
STALE = timedelta(days=90)
"""How old a champion may be that is not trained by a schedule."""
UNANSWERED = timedelta(days=7)
"""How long an alarm may be open that nobody has seen."""
REGRESSED = 3.0
"""Times of the usual from which on time or memory has regressed."""
_LEAST = 3
_LABELS = 4
"""Times the patience for windows, for labels come late."""


def notified(about: Subject) -> Finding:
    """Somebody is told of events about the pilot: data that does not pass, alarms, changes of champion."""
    if about.registered is None:
        return words.unversioned(about)
    if about.report is None:
        return words.lost(about, "validation report, which would notice")
    told = about.delivery
    try:
        wanted = [item.name for item in endpoints.load(about.settings).all if _wants(item, about.pilot)]
    except errors.SettingsError as error:
        return wanting(error.message, "pilotage webhooks", means=Means.COMMAND)
    if not wanted:
        setting = "PILOTAGE_WEBHOOKS_FILE=webhooks.yaml, with\n" + fragments.hook(about.pilot)
        return wanting("Nobody is told of events about the pilot.", setting, means=Means.SETTING)
    if told is None or told.endpoint not in wanted or about.now - told.ended_at > HEARD:
        return wanting(
            f"{words.names(wanted)} was told of nothing about the pilot in {HEARD.days} days.",
            f"pilotage run {about.pilot}",
        )
    text = f"`{told.endpoint}` took an event ({told.type}); data that does not pass is told the same way"
    return earned(Evidence(kind="delivery", text=text, link=places.SETTINGS, at=told.ended_at))


def invariants(about: Subject) -> Finding:
    """What is served is held against what was trained on, feature by feature, and alarms are answered."""
    if about.registered is None:
        return words.unversioned(about)
    report = about.drift
    if about.window is None or report is None:
        return words.unwatched(about)
    left = _unanswered(about)
    if left is not None:
        return left
    drifted = sum(item.drifted for item in report.features)
    text = f"{len(report.features)} features were held against the reference; {drifted} had drifted"
    return earned(words.window(about, text))


def unskewed(about: Subject) -> Finding:
    """The version answers rows as served as it does as trained, and served features are compared."""
    if about.registered is None:
        return words.unversioned(about)
    skew = about.tags.get(SKEW_TAG)
    if skew != "none":
        said = skew or "it was not tested"
        return wanting(f"Training and serving: {said}.", f"pilotage run {about.pilot} --no-cache")
    if about.window is None:
        return words.unwatched(about)
    same = words.version(about, "rows sent as JSON gave the features and answers that training has for them")
    return earned(same, words.window(about, "served features are compared with training's"))


def fresh(about: Subject) -> Finding:
    """The champion is no older than its schedule or a quarter of a year allows, and something renews it."""
    if about.registered is None:
        return words.unversioned(about)
    age = about.now - about.registered.created_at
    planned = next((row for row in about.schedules if row.next_at is not None), None)
    most = STALE
    if planned is not None:
        most = 2 * _period(planned.cron, about.now)
    if age > most:
        return wanting(
            f"Version {about.version} is {_days(age)} days old; at most {_days(most)} are right.",
            f"pilotage run {about.pilot}",
        )
    aged = words.version(about, f"{_days(age)} days old, at most {_days(most)} are right")
    if planned is not None:
        text = f"schedule `{planned.cron}` renews it"
        return earned(
            aged, Evidence(kind="schedule", text=text, link=places.SCHEDULES, at=planned.created_at)
        )
    causes = about.entry.spec.retrain.on
    if causes and about.window is not None:
        return earned(aged, words.window(about, f"{' and '.join(causes)} ask for a retraining"))
    fragment = fragments.text({"retrain": {"schedule": "0 3 * * 1"}})
    return wanting("Nothing renews it.", fragment, aged, means=Means.YAML)


def stable(about: Subject) -> Finding:
    """No score that was served is missing or infinite, and no metric of the version is."""
    if about.registered is None:
        return words.unversioned(about)
    report, card = about.drift, about.scorecard
    if about.window is None or report is None or report.score is None:
        return words.unwatched(about)
    if card is None:
        return words.lost(about, "scorecard")
    if report.score.missing_rate > 0:
        return wanting(
            f"{report.score.missing_rate:.2%} of the served scores are no finite number.",
            f"pilotage drift {about.pilot}",
        )
    goal = card.metrics.get(card.metric)
    if goal is None or goal.value is None or not math.isfinite(goal.value):
        return wanting(f"{card.metric} of the version is no finite number.", f"pilotage run {about.pilot}")
    form = about.form
    parity = ""
    if form is not None:
        parity = f"; the form is within {form.difference:.1e} of the model on {form.rows:,} rows"
    return earned(words.window(about, f"every served score is a finite number{parity}"))


def quick(about: Subject) -> Finding:
    """Serving keeps its promise and is as fast as it was; training takes the time and memory it took."""
    if about.registered is None:
        return words.unversioned(about)
    row = about.window
    if row is None or row.latency_p99_ms is None:
        return words.unwatched(about)
    promised, now = about.entry.spec.serve.p99_ms, row.latency_p99_ms
    before = [
        item.latency_p99_ms
        for item in about.all_windows
        if item.latency_p99_ms is not None and item.start < row.start
    ]
    if now > promised:
        fragment = fragments.gate(metric=str(Measure.LATENCY_P99_MS), max=promised)
        return wanting(f"p99 is {now:.3g} ms, {promised:g} ms are promised.", fragment, means=Means.YAML)
    if len(before) >= _LEAST and now > REGRESSED * statistics.median(before):
        usual = statistics.median(before)
        return wanting(f"p99 is {now:.3g} ms, it was {usual:.3g} ms.", f"pilotage drift {about.pilot}")
    if not about.trainings:
        return wanting("No training was carried out lately.", f"pilotage run {about.pilot} --no-cache")
    for name, unit in (("seconds", "s"), ("peak_memory_bytes", "bytes")):
        slow = _regressed([getattr(item, name) for item in about.trainings])
        if slow is not None:
            return wanting(
                f"Training took {slow[0]:,.3g} {unit}, usually {slow[1]:,.3g}.",
                f"pilotage runs show {about.trainings[0].run}",
            )
    latest = about.trainings[0]
    memory = (latest.peak_memory_bytes or 0) / 2**20
    text = f"training took {latest.seconds:.3g} s and {memory:,.0f} MiB, as usual"
    trained = Evidence(kind="run", text=text, link=places.run(latest.run), at=latest.ended_at)
    return earned(words.window(about, f"p99 {now:.3g} ms, promised {promised:g} ms"), trained)


def accurate(about: Subject) -> Finding:
    """The metric is measured on served rows whose labels came, and a drop does not stay unanswered."""
    if about.registered is None:
        return words.unversioned(about)
    labelled = next((row for row in about.windows if row.realized is not None), None)
    if labelled is None or about.now - labelled.updated_at > _LABELS * about.patience:
        return wanting(
            "No label of what the version answered has come lately.", f"pilotage labels {about.pilot} FILE"
        )
    left = _unanswered(about)
    if left is not None:
        return left
    card = about.scorecard
    was = card.metrics[card.metric].value if card is not None and card.metric in card.metrics else None
    text = f"{labelled.metric} is {labelled.realized:.4g} on {labelled.labelled:,} labelled rows"
    text += f" (version {labelled.version})"
    text += f"; held-out rows gave {was:.4g}" if was is not None else ""
    if not labelled.performance_well:
        text += "; that was less than is allowed, and the alarm was answered"
    link = places.window(about.pilot, labelled)
    return earned(Evidence(kind="window", text=text, link=link, at=labelled.updated_at))


def _wants(endpoint: endpoints.Endpoint, pilot: str) -> bool:
    return endpoint.pilots is None or pilot in endpoint.pilots


def _unanswered(about: Subject) -> Finding | None:
    """An alarm that nobody has seen for too long."""
    old = next((row for row in about.alarms if about.now - row.raised_at > UNANSWERED), None)
    if old is None:
        return None
    return wanting(
        f"An alarm ({old.cause}) is open since {old.raised_at:%Y-%m-%d} and nobody has seen it.",
        f"pilotage drift {about.pilot}",
    )


def _days(span: timedelta) -> str:
    return f"{span.total_seconds() / 86400:.3g}"


def _period(cron: str, now: datetime) -> timedelta:
    """The longest time between the next moments of a schedule."""
    moments = CronSim(cron, now)
    found = [next(moments) for _ in range(8)]
    return max(later - earlier for earlier, later in itertools.pairwise(found))


def _regressed(values: list[float | None]) -> tuple[float, float] | None:
    """The newest value and the usual one, if the newest is far above; newest first."""
    known = [value for value in values if value is not None]
    if len(known) <= _LEAST:
        return None
    usual = statistics.median(known[1:])
    return (known[0], usual) if known[0] > REGRESSED * usual else None


JUDGES = (notified, invariants, unskewed, fresh, stable, quick, accurate)
