"""The five steps from a source to a registered version, each a plain function with files in and out."""
