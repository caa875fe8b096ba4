"""What people touch: the command line and the demonstration. It decides nothing about pilots itself."""
