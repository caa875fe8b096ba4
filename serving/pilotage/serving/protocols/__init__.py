"""What requests and answers look like in each protocol, and the columns they come down to."""

from __future__ import annotations
