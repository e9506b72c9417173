"""How often a model errs on labelled images, on which, and how far its lengths can be trusted."""
