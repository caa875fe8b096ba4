"""The words every part of Pilotage shares: pilot spec, artifacts, gates, profiles, errors, settings."""
