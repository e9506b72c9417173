"""Real data sets and images in the user's formats, as uint8 arrays; no torch here."""
