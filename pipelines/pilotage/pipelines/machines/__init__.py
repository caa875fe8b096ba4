"""This machine and the others: processes told apart, locks, leases, settings handed on, and who sits here."""

from __future__ import annotations
