"""Locks that their process takes with it when it goes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pilotage.core import errors
from pilotage.core.settings import Settings
from pilotage.pipelines.machines import locks


def test_one_run_of_a_pilot_at_a_time_and_the_error_names_it(installation: Settings):
    with locks.run_lock(installation, "small", "r1"):
        with locks.run_lock(installation, "other", "r2"):
            pass
        with (
            pytest.raises(errors.RunActive, match="r1") as caught,
            locks.run_lock(installation, "small", "r3"),
        ):
            pass
        assert caught.value.details["run"] == "r1"
    with locks.run_lock(installation, "small", "r4"):
        pass


def test_the_lock_of_a_killed_process_is_free(installation: Settings):
    script = f"""
from pilotage.core import settings
from pilotage.pipelines.machines import locks
import time
with locks.run_lock(settings.load(home={str(installation.home)!r}), "small", "r1"):
    print("held", flush=True)
    time.sleep(60)
"""
    holder = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(errors.RunActive), locks.run_lock(installation, "small", "r2"):
        pass
    holder.kill()
    holder.communicate()
    with locks.run_lock(installation, "small", "r3"):
        pass
