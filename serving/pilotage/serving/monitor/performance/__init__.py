"""How well a version does: as labels tell it, and as it is estimated before they come."""
