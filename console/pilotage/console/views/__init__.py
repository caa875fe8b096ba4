"""How results look on a terminal: tables and live progress. Nothing is looked up or decided here."""
