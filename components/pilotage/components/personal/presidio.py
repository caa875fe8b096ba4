"""Presidio's pattern recognisers, where it is installed: a second opinion on a bounded number of values.

No language model is loaded and nothing is fetched: recognisers that ask a list of domains or a model
are left out. What it finds is reported; values are replaced by our own patterns only, so that the
same data gives the same snapshot wherever it is read.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
from functools import cache
from typing import Any

from pilotage.core.specs import PersonalKind

MOST_VALUES = 200
"""Different values of a column that are shown to it."""
LEAST_SCORE = 0.5
_RECOGNIZERS = {
    "CreditCardRecognizer": PersonalKind.CREDIT_CARD,
    "IbanRecognizer": PersonalKind.IBAN,
    "IpRecognizer": PersonalKind.IP_ADDRESS,
    "UsSsnRecognizer": PersonalKind.NATIONAL_ID,
    "UsItinRecognizer": PersonalKind.NATIONAL_ID,
    "UkNinoRecognizer": PersonalKind.NATIONAL_ID,
    "EsNifRecognizer": PersonalKind.NATIONAL_ID,
    "EsNieRecognizer": PersonalKind.NATIONAL_ID,
    "ItFiscalCodeRecognizer": PersonalKind.NATIONAL_ID,
    "SgFinRecognizer": PersonalKind.NATIONAL_ID,
    "FiPersonalIdentityCodeRecognizer": PersonalKind.NATIONAL_ID,
    "KrRrnRecognizer": PersonalKind.NATIONAL_ID,
}
_PACKAGE = "presidio_analyzer"
_WEAK = frozenset("0123456789 ")


@cache
def installed() -> bool:
    """Whether Presidio is here and its recognisers can be made."""
    return importlib.util.find_spec(_PACKAGE) is not None and bool(_recognizers())


@cache
def _recognizers() -> tuple[tuple[Any, PersonalKind], ...]:
    found = []
    logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)  # it logs what it looks at
    try:
        module = importlib.import_module(f"{_PACKAGE}.predefined_recognizers")
        for name, kind in _RECOGNIZERS.items():
            if hasattr(module, name):
                found.append((getattr(module, name)(), kind))
    except Exception as error:  # a second opinion that cannot be had stops nothing
        logging.getLogger(__name__).warning("Presidio cannot be used: %s", type(error).__name__)
        return ()
    return tuple(found)


def kinds(text: str) -> set[PersonalKind]:
    """Kinds that Presidio is sure of in `text`; bare digits are left to our own count."""
    if set(text) <= _WEAK:
        return set()
    found = set()
    for recognizer, kind in _recognizers():
        for result in recognizer.analyze(text, recognizer.supported_entities, None) or ():
            if result.score >= LEAST_SCORE:
                found.add(kind)
    return found
