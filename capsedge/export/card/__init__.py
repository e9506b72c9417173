"""Model cards in Markdown, with the metadata header that model hubs read.

`write` makes the card of an export. The zoo's cards (benchmarks/card) are made from the same parts.
"""
