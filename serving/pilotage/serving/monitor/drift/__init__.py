"""How a window's columns differ from the reference, by how much, and whether that counts as drift."""
