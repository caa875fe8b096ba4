"""How far a study is, on a terminal: a bar that is redrawn, a line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.markup import escape

from pilotage.console.outputs import Output

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from pilotage.pipelines.studies import Progress

_EVERY_SECONDS = 10.0


class StudyProgress:
    """Shows progress on stderr while a study goes on; use as a context manager."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._said = float("-inf")

    def __enter__(self) -> Self:
        if self._output.is_live:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            self._bar = Progress(
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.description}"),
                console=self._output.progress,
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("beginning", total=None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def on_progress(self, progress: Progress) -> None:
        """Show how far it is."""
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task, completed=progress.done, total=progress.total, description=escape(progress.what)
            )
        elif time.monotonic() - self._said >= _EVERY_SECONDS:
            self._said = time.monotonic()
            self._output.say(f"{progress.done} of {progress.total}: {escape(progress.what)}")
