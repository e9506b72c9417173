"""What the figures in README and docs come from; each module says its command."""
