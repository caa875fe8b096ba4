"""Events told to others over HTTP: signed, at least once, with a log of every attempt."""

from __future__ import annotations

from pilotage.pipelines.webhooks.couriers import delivering, send_due
from pilotage.pipelines.webhooks.deliveries import Attempt, Delivery, DeliveryState
from pilotage.pipelines.webhooks.endpoints import Endpoint

__all__ = ["Attempt", "Delivery", "DeliveryState", "Endpoint", "delivering", "send_due"]
