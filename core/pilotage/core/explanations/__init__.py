"""Why a model says what it says: the contribution of each feature to each prediction.

Contributions are Shapley values (Lundberg and Lee, "A unified approach to interpreting
model predictions", 2017). The server answers with them and evaluation puts them into the
scorecard, so they are here; in which process they are computed is not known.
"""
