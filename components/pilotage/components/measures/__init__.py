"""What a model is worth: scores with intervals, slices, fairness, calibration, latency and value."""
