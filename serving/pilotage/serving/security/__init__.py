"""Who may ask the server and over which wire: tokens, JSON Web Tokens, rates, TLS."""

from __future__ import annotations
