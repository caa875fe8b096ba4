"""Live states of a run's steps: redrawn in place on a terminal, a line an event elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from pilotage.console.outputs import Output

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from pilotage.pipelines.journals.events import Event

_SIGNS = {
    "succeeded": "[green]✓[/]",
    "cached": "[green]↺[/]",
    "failed": "[red]✗[/]",
    "cancelled": "[yellow]■[/]",
}


class RunProgress:
    """Shows events of one run on stderr while it goes on; use as a context manager."""

    def __init__(self, output: Output, prefix: str = "") -> None:
        self._output = output
        self._prefix = prefix
        self._live: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        if self._output.is_live:
            from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            self._live = Progress(
                SpinnerColumn(finished_text=" "),
                TextColumn("{task.description:<9}"),
                TimeElapsedColumn(),
                TextColumn("[dim]{task.fields[line]}"),
                console=self._output.progress,
                transient=True,
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def on_event(self, event: Event) -> None:
        """Show one event."""
        name, step = event.kind.value, event.step or ""
        if name == "step_started":
            self._start(step)
        elif name == "step_line" and self._live is not None and step in self._tasks:
            self._live.update(self._tasks[step], line=event.line.strip()[:100])
        elif name == "step_retried":
            self._output.say(f"{self._prefix}[yellow]↻[/] {step:<9} {_plain(event.line)}")
        elif name == "step_ended":
            self._end(step, str(event.state), event.seconds or 0.0, event.line)

    def _start(self, step: str) -> None:
        if self._live is None:
            self._output.say(f"{self._prefix}… {step}")
        elif step not in self._tasks:
            self._tasks[step] = self._live.add_task(step, total=None, line="")

    def _end(self, step: str, state: str, seconds: float, line: str) -> None:
        if self._live is not None and step in self._tasks:
            self._live.remove_task(self._tasks.pop(step))
        took = "cached" if state == "cached" else f"{seconds:.1f} s"
        sign = _SIGNS.get(state, "·")
        self._output.say(
            f"{self._prefix}{sign} {step:<9} {took:>7}  {_plain(line.splitlines()[0]) if line else ''}"
        )


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
