"""The command line. `main` declares the commands; each command's module holds its work."""
