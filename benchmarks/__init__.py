"""What the figures in docs come from; each module says its command."""
