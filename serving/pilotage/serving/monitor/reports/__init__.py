"""What a person reads: the pages of windows and of tables."""
