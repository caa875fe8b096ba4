"""Explanations of predictions, computed in a process of their own.

So neither the imports nor the arithmetic takes time or memory from predictions. What is computed is in
`pilotage.core.explanations`.
"""

from __future__ import annotations
