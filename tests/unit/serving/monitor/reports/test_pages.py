"""The pages: complete, escaped, and free of anything that loads from elsewhere."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pilotage.core.artifacts import (
    Alarm,
    Change,
    ChangeKind,
    Contribution,
    DriftReport,
    EstimatedPerformance,
    EstimateMethod,
    FeatureDrift,
    Multivariate,
    Performance,
    Segment,
    Skew,
    Track,
)
from pilotage.core.specs import Cause, Monitor
from pilotage.serving.monitor.reports import pages

EPOCH = datetime(2026, 3, 2, tzinfo=UTC)
NASTY = '<script>alert("x")</script>&'


class Reader(HTMLParser):
    """Collects tags with their attributes, and checks that they nest."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def feature(name: str, *, drifted: bool = False, psi: float = 0.01) -> FeatureDrift:
    return FeatureDrift(
        feature=name,
        kind="category",
        psi=psi,
        psi_low=psi / 2,
        psi_high=psi * 2,
        distance=psi / 4,
        distance_low=psi / 8,
        distance_high=psi / 2,
        jensen_shannon=psi / 3,
        importance=0.4 if drifted else None,
        p_value=1e-30 if drifted else 0.6,
        missing_rate=0.004,
        reference_missing_rate=0.0,
        unseen_rate=0.02,
        drifted=drifted,
        reason="other values are frequent" if drifted else "",
        reference=(0.7, 0.3),
        window=(0.2, 0.8),
        labels=(NASTY, "any other"),
    )


def report(day: int = 0, *, value: float | None = 0.7, version: int = 1) -> DriftReport:
    start = EPOCH + timedelta(days=day)
    end = start + timedelta(days=1)
    alarm = Alarm(
        id="a", pilot="demo", version=version, cause=Cause.DRIFT, start=start, end=end, message=f"1 {NASTY}"
    )
    return DriftReport(
        pilot="demo", version=version, start=start, end=end, rows=1234, requests=99, errors=2, p50_ms=3.14159,
        p99_ms=None, false_alarm_rate=0.01, threshold=0.01, method=f"How {NASTY}",
        features=(feature("quiet"), feature(NASTY, drifted=True, psi=0.9), feature("x" * 80)),
        score=feature("score"),
        performance=Performance(
            metric="roc_auc", value=value, low=value and value - 0.05, high=value and value + 0.05,
            reference=0.75, labelled=900, rows=1000, dropped=bool(value and value < 0.65),
        ),
        estimated=EstimatedPerformance(
            metric="roc_auc", value=0.68, low=0.64, high=0.72, reference=0.75, rows=1000,
            effective_rows=800.0, method=EstimateMethod.CONFIDENCE, reliable=True, reason=f"assumes {NASTY}",
        ),
        track=Track(
            windows=4, mae=0.01, mae_no_change=0.03, coverage=1.0, trusted=True, reason=f"on 4 {NASTY}"
        ),
        multivariate=Multivariate(auc=0.61, p_value=0.0004, rows=900, features=(NASTY,)),
        changes=(Change(feature=NASTY, kind=ChangeKind.UNIT, message=f"kilometres {NASTY}", strength=0.9),),
        contributions=(
            Contribution(feature=NASTY, value=0.03, error=0.004),
            Contribution(feature="quiet", value=-0.01, error=0.002),
        ),
        loss_contributions=(Contribution(feature="what the features mean", value=0.07, error=0.01),),
        segments=(
            Segment(
                description=f"carrier is {NASTY}", rows=120, share=0.12, value=0.5, reference=0.2, low=0.1,
                high=0.5, measure="mean score",
            ),
        ),
        value_skew=(Skew(column=NASTY, message=NASTY),), alarms=(alarm,), evidence="e" * 64, created_at=EPOCH,
    )  # fmt: skip


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


def test_the_page_says_all_that_the_report_holds() -> None:
    page = pages.render(report(), Monitor())
    text = re.sub(r"<[^>]+>", " ", page)
    for words in ("1,234", "99", "3.14 / –", "1 of 4", "0.7", "0.65 to 0.75", "900", "&lt; 1e-15", "2.0%"):
        assert words in text
    for words in (
        "What raised the loss", "+0.07 ± 0.01", "0.68", "0.64 to 0.72", "on 4", "0.61", "0.0004",
        "rests on these features for 40%", "kilometres",
        "moved by +0.02", "+0.03 ± 0.004", "carrier is", "+0.1 to +0.5", "0.450 to 1.800",
    ):  # fmt: skip
        assert words in text


def test_the_page_shows_the_windows_before_it_as_a_timeline() -> None:
    alone = pages.render(report(5), Monitor())
    assert "Timeline" not in alone
    page = pages.render(report(5), Monitor(), [report(day) for day in range(5)])
    assert page[page.index("Timeline") :].count("<circle") == 6


def test_drifted_features_come_first() -> None:
    page = pages.render(report(), Monitor())
    assert page.index("What drifted") < page.index("alert(&#34;x&#34;)&lt;/script&gt;&amp;</h3>")
    assert page.index("</h3>") < page.index("3 without drift") < page.index("<h3>quiet")


@pytest.mark.parametrize(
    "page",
    [pages.render(report(), Monitor()), pages.render_index(NASTY, [report(day) for day in range(3)])],
    ids=["report", "index"],
)
def test_pages_run_and_load_nothing_and_escape_what_they_show(page: str) -> None:
    reader = read(page)
    assert "<script" not in page
    policy = next(attrs["content"] for tag, attrs in reader.tags if attrs.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    for tag, attrs in reader.tags:
        assert tag not in {"script", "link", "img", "iframe", "object"}
        assert "src" not in attrs
        assert not any(name.startswith("on") for name in attrs)
        if tag == "a":
            assert re.fullmatch(r"[\w./-]+", attrs["href"] or "")


def test_the_index_links_each_window_and_draws_metric_and_differences() -> None:
    days = [report(day, value=[0.7, None, 0.6][day], version=1 + day // 2) for day in (2, 0, 1)]
    page = pages.render_index("demo", days)
    for name in ("1/20260302T000000Z", "1/20260303T000000Z", "2/20260304T000000Z"):
        assert f'href="{name}/drift.html"' in page
    assert page.count("<circle") == 2
    assert page.count("<polyline") == 2 * 3  # of each version: reference, realized, estimated
    assert page.count('stroke="var(--alarm)"') == 3
    assert "var(--alarm)" in page[page.index("<circle") :]


def test_the_index_shows_what_the_model_says_beside_a_feature_of_the_same_name() -> None:
    said = report()
    named = (*said.features, feature("score"), feature("prediction"))
    both = said.model_copy(update={"features": named, "prediction": feature("prediction")})
    page = pages.render_index("demo", [both])
    drawn = page[page.index("Differences from the reference") :]
    assert drawn.count("<rect") == len(both.features) + 2


@pytest.mark.parametrize("values", [[None], [0.5], [0.5, 0.5], [0.0, 0.0]])
def test_the_index_bears_little_data(values: list[float | None]) -> None:
    read(pages.render_index("demo", [report(day, value=value) for day, value in enumerate(values)]))


@pytest.mark.browser
def test_pages_fit_a_phone_and_load_without_complaint(chromium: str, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "drift.html").write_text(pages.render(report(), Monitor()))
    (tmp_path / "index.html").write_text(pages.render_index("demo", [report(day) for day in range(30)]))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
        )
        page = browser.new_page(viewport={"width": 390, "height": 844})
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        for name in ("index.html", "1/drift.html"):
            page.goto((tmp_path / name).as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
        browser.close()
    assert complaints == []
