"""From the outcomes of trials to the document: means over repeats, curves, the law, gains and costs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from scipy.special import stdtrit

from pilotage.components.forecasts import curves, laws, times, trials
from pilotage.components.forecasts.curves import Forecast, Predicted
from pilotage.components.forecasts.intervals import Interval
from pilotage.components.forecasts.trials import Outcome, Trial
from pilotage.core.costs import estimates
from pilotage.core.metrics import greater_is_better
from pilotage.core.settings import Settings
from pilotage.core.specs import PilotSpec
from pilotage.pipelines.forecasts import answers
from pilotage.pipelines.forecasts.answers import Bounds, Cost, Document, Drawn, Expected, Law, Point
from pilotage.pipelines.forecasts.plans import Options

_Z80 = 1.2816
_FACTORS = (1.0, *curves.FACTORS)


def document(
    spec: PilotSpec,
    settings: Settings,
    *,
    study: str,
    snapshot: str,
    rows: int,
    test_rows: int,
    found: Mapping[Trial, Outcome],
    options: Options,
    kept: int,
) -> Document:
    """All that a study found."""
    metric = spec.goal.metric
    plain = {trial: outcome for trial, outcome in found.items() if (trial.scale, trial.share) == (1.0, 1.0)}
    curve = curves.gather([trial.rows for trial in plain], [outcome.loss for outcome in plain.values()])
    forecast = curves.forecast(curve, options.at)
    current = trials.metric_of(metric, float(curve.loss[-1]))
    expected = tuple(_expected(metric, point) for point in forecast.predicted)
    wanted = spec.goal.target
    reached = (None, None, None) if wanted is None else curves.reach(forecast, trials.loss_of(metric, wanted))
    target, target_rows = answers.target(
        metric, wanted, current, reached, rows, forecast.refused, curves.FARTHEST
    )
    model, why_no_model = _bigger(found, rows, forecast, scalable=trials.size_parameter(spec) is not None)
    fewer, floor = _fewer(found, rows), forecast.floor
    costs = _costs(settings, plain, rows)
    more = answers.more_data(curves.LEVEL, current, expected, forecast.refused)
    gains = _doubled(forecast), model, fewer, _left(forecast)
    buy = answers.better_buy(*gains, why_no_data=forecast.refused, why_no_model=why_no_model)
    return Document(
        study=study,
        pilot=spec.pilot,
        metric=metric,
        greater_is_better=greater_is_better(metric),
        target=wanted,
        estimator=spec.train.estimator,
        snapshot=snapshot,
        rows=rows,
        test_rows=test_rows,
        level=curves.LEVEL,
        current=current,
        forecast=expected,
        refused=forecast.refused,
        behaviour=forecast.behaviour,
        target_rows=target_rows,
        answers=(more, target, buy, answers.at_what_cost(costs, "too few sizes were timed")),
        costs=costs,
        points=_points(metric, found),
        drawn=tuple(_drawn(metric, point) for point in forecast.drawn),
        backtest=_backtest(metric, forecast),
        floor=None if floor is None else _bounds(metric, floor),
        bigger_model=None if model is None else Bounds.of(model),
        fewer_features=None if fewer is None else Bounds.of(fewer),
        law=_law(found),
        cpu_seconds=sum(outcome.cpu_seconds for outcome in found.values()),
        trained=len(found) - kept,
        kept=kept,
    )


def _bounds(metric: str, loss: Interval) -> Bounds:
    """An interval of losses as one of the metric."""
    ends = [trials.metric_of(metric, end) for end in (loss.low, loss.high)]
    return Bounds(value=trials.metric_of(metric, loss.value), low=min(ends), high=max(ends))


def _expected(metric: str, point: Predicted) -> Expected:
    found = _bounds(metric, point.loss)
    return Expected(
        n=round(point.n),
        factor=point.factor,
        value=found.value,
        low=found.low,
        high=found.high,
        only_interval=point.factor > curves.ONLY_INTERVAL,
    )


def _drawn(metric: str, point: Predicted) -> Drawn:
    found = _bounds(metric, point.loss)
    return Drawn(n=point.n, value=found.value, low=found.low, high=found.high)


def _backtest(metric: str, forecast: Forecast) -> answers.Backtest | None:
    found = forecast.backtest
    if found is None:
        return None
    bounds = _bounds(metric, found.loss)
    return answers.Backtest(
        n=round(found.n),
        known_until=round(found.known_until),
        value=bounds.value,
        low=bounds.low,
        high=bounds.high,
        actual=trials.metric_of(metric, found.actual),
    )


def _points(metric: str, found: Mapping[Trial, Outcome]) -> tuple[Point, ...]:
    groups: dict[tuple[int, float], list[Outcome]] = defaultdict(list)
    for trial, outcome in found.items():
        if trial.share == 1.0:
            groups[trial.rows, trial.scale].append(outcome)
    return tuple(
        Point(
            n=rows,
            scale=scale,
            value=trials.metric_of(metric, float(np.mean([outcome.loss for outcome in group]))),
            stderr=float(np.std([outcome.loss for outcome in group], ddof=1) / np.sqrt(len(group)))
            if len(group) > 1
            else None,
            repeats=len(group),
            cpu_seconds=float(np.mean([outcome.cpu_seconds for outcome in group])),
        )
        for (rows, scale), group in sorted(groups.items())
    )


def _doubled(forecast: Forecast) -> Interval | None:
    """Gain of twice the rows, over the mean curve at all rows."""
    if forecast.refused:
        return None
    here = curves.Mean(forecast.curve).here
    ahead = next(point.loss for point in forecast.predicted if abs(point.factor - 2.0) < 1e-6)
    return Interval(here - ahead.value, here - ahead.high, here - ahead.low)


def _left(forecast: Forecast) -> Interval | None:
    """Gain of any number of rows."""
    if forecast.floor is None:
        return None
    here, floor = curves.Mean(forecast.curve).here, forecast.floor
    return Interval(here - floor.value, here - floor.high, here - floor.low)


def _bigger(
    found: Mapping[Trial, Outcome], rows: int, forecast: Forecast, *, scalable: bool
) -> tuple[Interval | None, str]:
    """Gain of a model twice as large on all rows, from pairs of the same seed; and why it is not known."""
    if not scalable:
        return None, "this estimator has no size to change"
    gains = [
        found[Trial(rows, trial.repeat)].loss - outcome.loss
        for trial, outcome in found.items()
        if trial.rows == rows and trial.scale == 2.0 and Trial(rows, trial.repeat) in found
    ]
    if len(gains) < 2:
        return None, "no larger one was tried"
    noise = curves.noise(forecast.curve)
    half = _Z80 * max(noise, float(np.std(gains, ddof=1))) / np.sqrt(len(gains)) * np.sqrt(2)
    value = float(np.mean(gains))
    return Interval(value, value - half, value + half), ""


def _fewer(found: Mapping[Trial, Outcome], rows: int) -> Interval | None:
    """Loss of the metric when half of the features are gone, and Student's 80 % interval of which half."""
    whole = [outcome.loss for trial, outcome in found.items() if trial == Trial(rows, trial.repeat)]
    halves = [outcome.loss for trial, outcome in found.items() if trial.share == 0.5]
    if len(halves) < 2 or not whole:
        return None
    gains = np.array(halves) - float(np.mean(whole))
    half = float(stdtrit(len(gains) - 1, 0.9) * gains.std(ddof=1) / np.sqrt(len(gains)))
    return Interval(float(gains.mean()), float(gains.mean() - half), float(gains.mean() + half))


def _law(found: Mapping[Trial, Outcome]) -> Law | None:
    """The law of model size and rows, where sizes were tried; sizes are relative to that of pilot.yaml."""
    used = [(trial, outcome) for trial, outcome in found.items() if trial.share == 1.0]
    if len({trial.scale for trial, _ in used}) < laws.FEWEST_VALUES:
        return None
    groups: dict[tuple[float, int], list[float]] = defaultdict(list)
    for trial, outcome in used:
        groups[trial.scale, trial.rows].append(outcome.loss)
    losses = [float(np.mean(group)) for group in groups.values()]
    if min(losses) <= 0:
        return Law(parameters={}, level=laws.LEVEL, refused="a loss is 0, and the law is of logarithms")
    fitted = laws.fit([scale for scale, _ in groups], [rows for _, rows in groups], losses, resamples=100)
    parameters = {name: Bounds.of(interval) for name, interval in fitted.parameters.items()}
    return Law(parameters=parameters, level=laws.LEVEL, refused=fitted.refused)


def _costs(settings: Settings, plain: Mapping[Trial, Outcome], rows: int) -> tuple[Cost, ...]:
    """What one training takes now and on more rows; the first, which loads libraries, is left out."""
    timed = list(plain.items())[1:]
    at = [factor * rows for factor in _FACTORS]
    found = times.forecast(
        [trial.rows for trial, _ in timed], [outcome.cpu_seconds for _, outcome in timed], at
    )
    if found is None:
        return ()
    return tuple(_cost(settings, n, n / rows, seconds) for n, seconds in zip(at, found, strict=True))


def _cost(settings: Settings, n: float, factor: float, seconds: Interval) -> Cost:
    bill = estimates.of_cpu_seconds(settings, seconds.value)
    return Cost(
        n=round(n),
        factor=factor,
        cpu_seconds=Bounds.of(seconds),
        energy_kwh=None if bill.energy is None else bill.energy.kwh,
        co2_kg=None if bill.energy is None else bill.energy.co2_kg,
        price=None if bill.cost is None else bill.cost.total,
        currency=None if bill.cost is None else bill.cost.currency,
    )
