"""A version for machines without Pilotage: a folder or zip that onnxruntime and NumPy alone can run."""
