"""An estimator of one's own: what pilot.yaml names as `estimator:build`.

It is made of scikit-learn's parts only, so that the model is stored without pickle.
"""

from __future__ import annotations

from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler


def build(gamma: float = 0.25, components: int = 400, C: float = 100.0, random_state: int = 0) -> Pipeline:
    """A logistic regression on an approximate Gaussian kernel map of the pixels.

    `gamma` is the kernel's for pixels scaled to [0, 1], `components` how many training rows span
    the map (Williams and Seeger, 2001), `C` the inverse strength of the penalty.
    """
    return make_pipeline(
        MinMaxScaler(),
        Nystroem(gamma=gamma, n_components=components, random_state=random_state),
        LogisticRegression(C=C, max_iter=1000),
    )
