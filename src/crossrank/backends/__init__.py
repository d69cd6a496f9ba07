"""What runs a batch of token ids through a model: one contract, one file per engine."""
