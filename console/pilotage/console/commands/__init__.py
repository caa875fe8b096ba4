"""The commands, a module a topic; each says how it is called and shows what its room found."""
