"""Terminal output of the commands, one module for each command."""
