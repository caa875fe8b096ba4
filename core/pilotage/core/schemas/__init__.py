"""The committed JSON schemas of pilot.yaml and of every artifact, at `<name>/v<version>.json`.

`python -m pilotage.core.schemas` writes them anew; a test holds them against
the models, so that no format changes by accident.
"""
