"""Commands that go to a console elsewhere (PILOTAGE_URL) in place of this machine's installation."""
