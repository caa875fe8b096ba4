"""pilot.yaml is read as people mean it, and each mistake is named with its line, key and remedy."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pilotage.core import durations, errors, pilots
from pilotage.core.specs import Against, Cause, PythonSource, SqlSource

FIVE_LINES = "version: 1\npilot: a\ngoal: {metric: roc_auc}\ndata: {source: x.csv, target: y}\n"


def test_five_lines_are_enough() -> None:
    spec = pilots.parse(FIVE_LINES)
    assert spec.pilot == "a"
    assert spec.train.estimator == "hist_gradient_boosting"
    assert [gate.against for gate in spec.all_gates] == [Against.BASELINE, Against.CHAMPION]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        pytest.param(
            "train:\n  estimater: x\n", 6, ["train.estimater", "did you mean `estimator`?"], id="typo"
        ),
        pytest.param("train:\n  estimator: xgbost\n", 6, ["train.estimator", "`xgboost`"], id="estimator"),
        pytest.param(
            "foo: 1\n", 5, ["`foo`", "valid keys here are approval, card, cluster, data"], id="unknown key"
        ),
        pytest.param("pilot: b\n", 5, ["`pilot`", "given twice, first on line 2"], id="duplicate key"),
        pytest.param("retrain: {cooldown: 5x}\n", 5, ["retrain.cooldown", "`5x`", "24h"], id="duration"),
        pytest.param("retrain: {cooldown: 0h}\n", 5, ["longer than nothing"], id="no duration"),
        pytest.param("retrain: {schedule: '0 3 * *'}\n", 5, ["retrain.schedule", "cron"], id="cron"),
        pytest.param("retrain: {on: [drift, perf]}\n", 5, ["retrain.on.1", "'performance'"], id="cause"),
        pytest.param("serve: {cpu: 5x}\n", 5, ["serve.cpu", '"5x"'], id="cpu"),
        pytest.param("serve: {replicas: {min: 3, max: 2}}\n", 5, ["`min` is above `max`"], id="replicas"),
        pytest.param(
            "gates:\n  - {metric: roc_auc}\n", 6, ["either `min` and/or `max`, or `against`"], id="empty gate"
        ),
        pytest.param("gates:\n  - {metric: roc_auc, min: .nan}\n", 6, ["gates.0.min"], id="nan limit"),
        pytest.param(
            "gates:\n  - {metric: demographic_parity_difference, max: 1}\n", 6, ["`by`"], id="no group"
        ),
        pytest.param("gates:\n  - {metric: r2, min: 0}\n", 6, ["not for classification"], id="wrong task"),
        pytest.param(
            "train: {search: {space: {a: {low: 2, high: 1}}}}\n", 5, ["`low` below `high`"], id="range"
        ),
        pytest.param(
            "train: {search: {space: {a: {low: 0, high: 1, log: true}}}}\n", 5, ["above 0"], id="log range"
        ),
        pytest.param(
            "train: {search: {space: {a: {low: 2.2, high: 2.8, integer: true}}}}\n",
            5,
            ["whole numbers"],
            id="whole numbers",
        ),
        pytest.param("monitor: {drift: {season: hour}}\n", 5, ["`data.time`"], id="season without time"),
        pytest.param("monitor: {window: 99999999999d}\n", 5, ["at most 36500d"], id="endless window"),
        pytest.param("owner: &me [*me]\n", 5, ["alias refers to what it is part of"], id="own alias"),
        pytest.param('owner: "\0"\n', 1, ["not YAML", "#x0000"], id="unprintable"),
        pytest.param("gates: {metric: accuracy}\n", 5, ["`gates`: expected a list"], id="no list"),
        pytest.param("train: lightgbm\n", 5, ["`train`: expected a mapping of keys"], id="no mapping"),
        pytest.param("train: {search: {space: {}}}\n", 5, ["train.search.space"], id="empty space"),
        pytest.param("monitor: {drift: {false_alarm_rate: 1}}\n", 5, ["less than 1"], id="rate"),
        pytest.param("owner: [1\n", 6, ["not YAML"], id="not yaml"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_remedy(text: str, line: int, said: list[str]) -> None:
    with pytest.raises(errors.SpecError) as caught:
        pilots.parse(FIVE_LINES + text)
    assert f"pilot.yaml:{line}:" in str(caught.value)
    for part in said:
        assert part in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param("{source: 3, target: y}", "`data.source`: expected text, got 3", id="number"),
        pytest.param("{source: {sql: a, urll: b}, target: y}", "did you mean `url`?", id="sql typo"),
        pytest.param(
            "{source: {foo: a}, target: y}",
            "valid keys here are args, fingerprint, python, sql, url",
            id="foo",
        ),
        pytest.param("{source: {python: 'a b'}, target: y}", "`data.source.python`", id="not a function"),
        pytest.param("{source: x.csv}", "`data.target`: is missing", id="no target"),
        pytest.param("{source: x.csv, target: y, key: y}", "is the target", id="key is target"),
        pytest.param("{source: x.csv, target: y, features: {a: numbr}}", "data.features.a", id="kind"),
        pytest.param("{source: x.csv, target: y, features: {}}", "names no column", id="no features"),
        pytest.param(
            "{source: x.csv, target: y, features: {a: number}, exclude: [a]}", "in `exclude`", id="both"
        ),
        pytest.param("{source: x.csv, target: y, split: {test: 1}}", "less than 1", id="split"),
    ],
)
def test_a_wrong_data_part_is_named(data: str, said: str) -> None:
    with pytest.raises(errors.SpecError, match=r"pilot\.yaml:4:") as caught:
        pilots.parse(f"version: 1\npilot: a\ngoal: {{metric: roc_auc}}\ndata: {data}\n")
    assert said in str(caught.value)


def test_a_task_that_the_metric_does_not_fit_is_named_at_the_metric() -> None:
    with pytest.raises(
        errors.SpecError, match=r"pilot\.yaml:3: `goal\.metric`: roc_auc is for classification"
    ):
        pilots.parse(FIVE_LINES.replace("target: y", "target: y, task: regression"))


@pytest.mark.parametrize("gate", ["{metric: calibration_error, max: 1}", "{metric: roc_auc, min: 0}"])
def test_a_gate_of_another_task_is_named(gate: str) -> None:
    with pytest.raises(errors.SpecError, match=r"`gates\.0\.metric`: .* is not for regression"):
        pilots.parse(FIVE_LINES.replace("roc_auc", "r2") + f"gates: [{gate}]\n")


def test_all_mistakes_are_reported_together_in_order() -> None:
    with pytest.raises(errors.SpecError) as caught:
        pilots.parse("version: 2\npilot: A_b\ngoal: {metric: auc}\ndata: {source: x.csv}\nfoo: 1\n")
    problems = caught.value.details["problems"]
    assert [problem["line"] for problem in problems] == [1, 2, 3, 4, 5]
    assert "did you mean `roc_auc`?" in problems[2]["message"]


@pytest.mark.parametrize("text", ["", "- 1\n", "just words\n", "3\n"])
def test_a_file_that_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(errors.SpecError, match="must be a mapping"):
        pilots.parse(text)


def test_words_dates_and_small_numbers_stay_what_they_look_like() -> None:
    spec = pilots.parse(
        FIVE_LINES.replace(
            "source: x.csv", "source: {python: 'm:f', args: {day: 2013-01-01, flag: yes, octal: 010}}"
        )
        + "retrain: {on: [drift]}\ntrain: {params: {rate: 1e-3, deep: true}}\n"
    )
    assert isinstance(spec.data.source, PythonSource)
    assert spec.data.source.args == {"day": "2013-01-01", "flag": "yes", "octal": "010"}
    assert spec.retrain.on == (Cause.DRIFT,)
    assert spec.train.params == {"rate": 0.001, "deep": True}


def test_an_sql_source_is_recognised() -> None:
    spec = pilots.parse(FIVE_LINES.replace("x.csv", "{sql: select 1, url: 'env:WAREHOUSE_URL'}"))
    assert isinstance(spec.data.source, SqlSource)


def test_a_stated_gate_takes_the_place_of_the_one_that_is_always_on() -> None:
    spec = pilots.parse(FIVE_LINES + "gates: [{metric: roc_auc, against: champion, margin: -0.01}]\n")
    assert [(gate.against, gate.margin) for gate in spec.all_gates] == [
        ("baseline", 0.0),
        ("champion", -0.01),
    ]


def test_integers_make_an_integer_range() -> None:
    text = "train: {search: {space: {a: {low: 1, high: 9}, b: {low: 1, high: 9.5}, c: {choices: [1, x]}}}}\n"
    search = pilots.parse(FIVE_LINES + text).train.search
    assert search is not None
    assert [search.space[name].integer for name in "abc"] == [True, False, False]


def test_a_compiled_spec_reads_back_the_same() -> None:
    spec = pilots.parse(FIVE_LINES + "serve: {rollout: {strategy: canary, steps: [10, 50], pause: 5m}}\n")
    assert pilots.from_json(spec.model_dump_json()) == spec


def test_a_folder_or_its_file_names_a_pilot(tmp_path) -> None:
    (tmp_path / "pilot.yaml").write_text(FIVE_LINES)
    assert pilots.load(tmp_path) == pilots.load(tmp_path / "pilot.yaml")
    assert pilots.load(tmp_path).folder == tmp_path


def test_a_missing_file_names_the_way_to_begin(tmp_path) -> None:
    with pytest.raises(errors.NotFound, match="pilotage init"):
        pilots.load(tmp_path)


def test_bytes_that_are_no_text_are_refused(tmp_path) -> None:
    (tmp_path / "pilot.yaml").write_bytes(b"\xff\xfe\x00version")
    with pytest.raises(errors.SpecError, match="UTF-8"):
        pilots.load(tmp_path)


@pytest.mark.parametrize("text", ["90s", "10m", "24h", "7d", "2w", "1.5s"])
def test_a_duration_is_written_as_it_was_read(text: str) -> None:
    assert durations.parse(durations.write(durations.parse(text))) == durations.parse(text)


def test_durations_are_exact() -> None:
    assert durations.parse("36h") == timedelta(hours=36)
    assert durations.write(timedelta(days=14)) == "2w"
