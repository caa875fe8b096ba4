"""What only people can say of a model, for its card.

The questions are those of model cards (Mitchell et al., "Model cards for model reporting", 2019)
and of datasheets (Gebru et al., "Datasheets for datasets", 2021) that no measurement answers. One
that is left out is named as a gap on the card; nothing is made up.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from pilotage.core.specs.bases import Model

Text = Annotated[str, Field(min_length=1, max_length=4000, pattern=r"\S")]


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Texts = Annotated[tuple[Text, ...], BeforeValidator(_listed, json_schema_input_type=Text | list[Text])]
"""One text, or a list of them."""


class Card(Model):
    """What the model card says besides what was measured."""

    intended_use: Texts = ()
    """What it was made for."""
    intended_users: Texts = ()
    """Who uses its predictions, and who is affected by them."""
    out_of_scope: Texts = ()
    """What it must not be used for."""
    limits: Texts = ()
    """Where it is known to fail, besides what evaluation found."""
    ethical_considerations: Texts = ()
    """Risks and harms that were thought of, and what was done about them."""
    data_collection: Texts = ()
    """How the rows came to be, who chose them, and with whose consent."""
    data_license: Texts = ()
    """Under which terms the data may be used."""
    contact: Texts = ()
    """Whom to ask, and where to complain."""
    example_rows: bool | None = None
    """Whether the scorecard shows a few held-out rows, without their keys, taken apart by feature.

    Left out: unless the source has personal data, for whoever is to be forgotten is not found on a card.
    """
