"""The network of the paper: squash, capsule layers, routing, decoder and loss."""
