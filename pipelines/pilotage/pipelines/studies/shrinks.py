"""A study of smaller models: candidates measured, one chosen, that one registered like any version.

What was measured is kept under all that it depends on, so a study that is begun again chooses
the same candidate, and the same candidate of the same version is registered once. How
candidates are made and judged is `pilotage.components.shrinking`'s.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select

from pilotage.core import errors
from pilotage.core.artifacts import Decision, Objective, Shrink, TrainedModel
from pilotage.core.registry import Registered, Registry
from pilotage.core.registry.tags import DECISION_TAG, HELD_TAG, REASON_TAG, RUN_TAG
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec
from pilotage.pipelines import studies, tables
from pilotage.pipelines.decisions import promotions
from pilotage.pipelines.studies import Progress, Work

logger = logging.getLogger(__name__)

PLOT = "shrink.svg"
"""The picture that a study leaves."""
AT_MOST = 0.5
"""Share of the original's size or time that a candidate may have when nobody says."""


class Options(BaseModel):
    """What a study of smaller models is asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Annotated[int, Field(ge=1)] | None = None
    """When left out the champion, or the version that it was shrunk from; without a champion the newest."""
    max_drop: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """How much of the goal's metric may be lost; a hundredth of its size when left out."""
    at_most: Annotated[float, Field(gt=0, le=1)] = AT_MOST
    """Share of the original's size or time that a candidate may have."""
    objective: Objective = Objective.BALANCED
    """What it is for: which share counts, and where it may not be slower."""
    choose: Annotated[str, Field(max_length=64)] | None = None
    """A candidate by name, in place of the rule."""
    register_chosen: Annotated[bool, Field(alias="register")] = True
    """Whether the chosen one becomes a version."""

    @property
    def told(self) -> dict[str, Any]:
        """As a row of the table has them."""
        return self.model_dump(mode="json", by_alias=True)


def run(
    spec: PilotSpec,
    folder: Path,
    settings: Settings,
    options: Options,
    who: str,
    *,
    study: str | None = None,
    bundle: Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> tuple[str, Shrink]:
    """Shrink a version of a pilot; returns the study's id and what it found.

    Args:
        spec: the pilot.
        folder: its folder.
        settings: the installation.
        options: of the study; one that was asked for has its own.
        who: asks for it.
        study: one that was asked for, or that ended before it was done.
        bundle: where an edge bundle of the chosen candidate goes.
        on_progress: told how far it is.

    Raises:
        NotFound: there is no such version, or no candidate of the name that is to be chosen.
        RunActive: a study of the kind goes on for the pilot.
    """
    from pilotage.components.shrinking import plots

    kind = studies.Kind.SHRINK
    with studies.carry_out(
        settings, spec.pilot, kind, options.told, who, study=study, on_progress=on_progress
    ) as work:
        found = _Shrinking(spec, folder, settings, Options.model_validate(work.study.options), work).run(
            bundle
        )
        document = found.model_dump(mode="json")
        work.write(PLOT, plots.of_document(document).encode())
        work.finish(document, short(found))
        return work.study.id, found


def short(found: Shrink) -> dict[str, Any]:
    """What the table of studies tells of a result."""
    chosen = next((item for item in found.candidates if item.name == found.chosen), None)
    return {
        "version": found.version,
        "chosen": found.chosen,
        "reason": found.reason,
        "registered": found.registered,
        "passed": sum(item.passed for item in found.candidates),
        "candidates": len(found.candidates),
        "size": None if chosen is None else chosen.size,
        "drop": None if chosen is None else chosen.drop,
    }


def _held(found: Shrink) -> str | None:
    """Why the chosen one is not promoted without a person."""
    from pilotage.components.shrinking import objectives

    chosen = next(item for item in found.candidates if item.name == found.chosen)
    slower = "; ".join(objectives.slower(chosen))
    return f"it is slower than version {found.version}: {slower}" if slower else None


class _Shrinking:
    """One study under way."""

    def __init__(
        self, spec: PilotSpec, folder: Path, settings: Settings, options: Options, work: Work
    ) -> None:
        self._spec = spec
        self._folder = folder
        self._settings = settings
        self._options = options
        self._work = work
        self._registry = Registry(settings)

    def run(self, bundle: Path | None) -> Shrink:
        from pilotage.components.shrinking import choices, objectives, sources, trials

        registered = self._version()
        self._work.progress(0, 1, "the version and its rows")
        source = sources.open_source(self._spec, self._folder, self._settings, self._registry, registered)
        found = self._measured(source)
        objective = self._options.objective
        limits = trials.Limits(found.max_drop, self._options.at_most, objective)
        judged = tuple(trials.limit(item, limits) for item in found.candidates)
        asked = {"at_most": limits.at_most, "objective": objective, "rule": objectives.rule(objective)}
        found = found.model_copy(update={"candidates": judged, **asked})
        chosen, reason = choices.choose(found.candidates, self._options.choose, objective)
        found = found.model_copy(update={"chosen": chosen, "reason": reason})
        if chosen is None or not (self._options.register_chosen or bundle):
            return found
        made, how = self._made(source, chosen, found.max_drop)
        if chosen == choices.ORIGINAL:
            found = found.model_copy(update={"registered": registered.version})
        elif self._options.register_chosen:
            found = self._registered(found, source, made, how)
        if bundle is not None:
            self._bundle(bundle, found, made)
        return found

    def _made(self, source: Any, chosen: str, max_drop: float) -> Any:
        """The chosen candidate, made again by its recipe, and how."""
        from pilotage.components.shrinking import choices, recipes, trials

        if chosen == choices.ORIGINAL:
            if source.form is None:
                raise errors.InputError(
                    f"Version {source.registered.version} has no inference form: {source.obstacle}",
                    remedy="Choose another candidate; each of them has one.",
                )
            return trials.Made(source.predictor, source.form.form, source.graph), "the version as it is"
        known = {item.name: item for item in recipes.recipes(source, max_drop / 2)}
        return trials.make(known[chosen], source)

    def _version(self) -> Registered:
        """The version to shrink; where it is a smaller one of another already, that other one."""
        from pilotage.components.shrinking import stores

        name = self._spec.pilot
        if self._options.version is not None:
            return self._registry.version(name, self._options.version)
        champion = self._registry.champion(name)
        known = self._registry.versions(name)
        newest = champion or next(iter(known), None)
        if newest is None:
            raise errors.NotFound(
                f"Pilot `{name}` has no version to shrink.", remedy="`pilotage run PILOT` makes one."
            )
        origin = newest.tags.get(stores.FROM_TAG)
        return next((item for item in known if str(item.version) == origin), newest)

    def _measured(self, source: Any) -> Shrink:
        """Candidates with all that was measured of them; kept, so that it is measured once."""
        from pilotage.components import evaluate, provenance
        from pilotage.components.measures import races
        from pilotage.components.shrinking import choices, objectives, recipes, trials

        champion = self._registry.champion(self._spec.pilot)
        made_of = {
            "model": source.model.digest,
            "snapshot": source.snapshot.digest,
            "spec": self._spec.model_dump(mode="json"),
            "champion": None if champion is None else champion.version,
            "max_drop": self._options.max_drop,
            "code": provenance.code_digest(()),
        }
        kept = self._work.kept(made_of)
        if kept is not None:
            return Shrink.model_validate(kept)
        trained = TrainedModel(model=source.model, mlflow_run="", uri="")
        rows = evaluate.held_out(self._spec, self._settings, source.snapshot, trained)
        card = self._registry.scorecard(source.registered)
        used = {} if card.training is None else {"train": card.training}  # which it took to get here
        max_drop = self._options.max_drop
        if max_drop is None:
            max_drop = choices.default_drop(card.metrics[self._spec.goal.metric].value)
        original, candidates = trials.run(
            source,
            recipes.recipes(source, max_drop / 2),
            lambda predictor, taken: evaluate.judge(self._spec, self._settings, predictor, rows, taken, used),
            self._work.progress,
        )
        found = Shrink(
            pilot=self._spec.pilot,
            version=source.registered.version,
            model=source.model.digest,
            snapshot=source.snapshot.digest,
            metric=self._spec.goal.metric,
            train_rows=source.train.rows,
            test_rows=source.rest.rows,
            max_drop=max_drop,
            at_most=self._options.at_most,
            rule=objectives.rule(self._options.objective),
            objective=self._options.objective,
            batch_rows=min(source.rest.rows, races.BATCH_ROWS),
            original=original,
            candidates=candidates,
            chosen=None,
            reason="",
            created_at=datetime.now(UTC),
        )
        self._work.keep(made_of, found.model_dump(mode="json"))
        return found

    def _registered(self, found: Shrink, source: Any, made: Any, how: str) -> Shrink:
        """The chosen candidate as a version; where an earlier attempt came is gone on from."""
        from pilotage.components import evaluate, register
        from pilotage.components.shrinking import stores

        order = stores.Order(str(found.chosen), how, self._work.study.id)
        tags = stores.version_tags(source, made, order)
        held = _held(found)
        found = found.model_copy(update={"held": held})
        tags = tags if held is None else {**tags, HELD_TAG: held}
        run = source.registered.tags.get(RUN_TAG, self._work.study.id)
        known = self._known(tags[stores.KEY_TAG])
        if known is not None and DECISION_TAG in known.tags:
            logger.info("the same candidate is version %d already", known.version)
            decision, reason = Decision(known.tags[DECISION_TAG]), known.tags.get(REASON_TAG, "")
            self._record(known.version, decision, run, reason, None)
            return found.model_copy(update={"registered": known.version, "decision": str(decision)})
        spec, folder, settings = self._spec, self._folder, self._settings
        with tempfile.TemporaryDirectory(prefix="pilotage-shrink-") as scratch:
            place = Path(scratch)
            trained = self._stored(source, made, order, tags[stores.KEY_TAG], place)
            inputs = (spec, folder, settings, source.snapshot, source.report, trained)
            before = self._registry.scorecard(source.registered).training
            used = {} if before is None else {"train": before}  # which it took to get here
            card = evaluate.evaluate(*inputs, place, used=used)
            version = register.register(*inputs, card, run, place, tags)
        self._record(version.version, version.decision, run, version.reason, version.replaced)
        return found.model_copy(update={"registered": version.version, "decision": str(version.decision)})

    def _stored(self, source: Any, made: Any, order: Any, key: str, place: Path) -> TrainedModel:
        """The candidate in MLflow; kept, so that it is stored once and is the same version when repeated."""
        from pilotage.components.shrinking import stores

        kept = self._work.kept({"stored": key})
        if kept is not None:
            return TrainedModel.model_validate(kept)
        trained = stores.store(self._settings, self._registry, source, made, order, place)
        self._work.keep({"stored": key}, trained.model_dump(mode="json"))
        return trained

    def _record(self, version: int, decision: Decision, run: str, reason: str, replaced: int | None) -> None:
        """Keep what registration decided, unless the audit tells of this version already."""
        pilot, audit = self._spec.pilot, tables.audit
        told = select(audit.c.id).where(audit.c.pilot == pilot, audit.c.version == version)
        with tables.reading(self._work.engine) as connection:
            if connection.execute(told).first() is not None:
                return
        promotions.record_decision(self._work.engine, pilot, version, decision, run, reason, replaced)

    def _known(self, key: str) -> Registered | None:
        """The version that the same candidate became before."""
        from pilotage.components.shrinking import stores

        return next(
            (
                item
                for item in self._registry.versions(self._spec.pilot)
                if item.tags.get(stores.KEY_TAG) == key
            ),
            None,
        )

    def _bundle(self, target: Path, found: Shrink, made: Any) -> None:
        from pilotage.components.shrinking.edge import bundles

        version = str(found.registered or f"{found.version}-{found.chosen}")
        bundles.write(target, made.form, made.graph, made.predictor.model, version)
