"""From pairs of texts to logits: the only place where text becomes numbers. It knows no documents, JSON or HTTP."""
