"""What the commands show on a terminal, one module a command."""
