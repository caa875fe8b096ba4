"""Where everything of an installation is, on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def show(console: Console, document: Mapping[str, Any]) -> None:
    """The addresses."""
    console.print(f"[bold]Console[/]  {document['console']}")
    if document["sign_in"]:
        console.print(f"[bold]Sign in[/]  {document['sign_in']} (once, within ten minutes)")
    console.print(f"[bold]MLflow[/]   {document['mlflow']}")
    for pilot, url in document["servers"].items():
        console.print(f"[bold]{pilot}[/]  {url} (API at {url}/docs)")
    for name, state in document["services"].items():
        if state == "waiting":
            console.print(
                f"[yellow]{name} is {state}[/]; see {document['logs']}/{name.replace('/', '-')}.log"
            )
    console.print(f"Logs are in {document['logs']}. Ctrl-C stops everything.")
