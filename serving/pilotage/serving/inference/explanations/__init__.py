"""Why a model says what it says: the contribution of each feature to each prediction.

Contributions are Shapley values (Lundberg and Lee, "A unified approach to interpreting
model predictions", 2017). They are computed in a process of their own, so that
neither the imports nor the arithmetic takes time or memory from predictions.
"""

from __future__ import annotations
