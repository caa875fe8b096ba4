"""Pilotage of this checkout, measured as a process like the others."""

from __future__ import annotations

from measures import Job
from tests.benchmarks.monitoring import ours

from pilotage.core import cells

cells.prepare(cells.WORTHWHILE)  # compiled code is loaded with the imports, whose time stands in `whole`
job = Job()
job.answer(ours.drift_of_files(job, job.note))
