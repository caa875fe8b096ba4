"""From a trained model to its inference form: encoding as tables, estimator as a graph, both checked.

The trees and coefficients of the built-in estimators are read from the fitted
models and written to ONNX in double precision, which is exact at every
threshold; skl2onnx, which computes in single precision, converts only what we
do not know. A form that does not agree with its model on every held-out row is
refused. How a form answers is `pilotage.core.forms`.
"""
