"""Torch nets on packed tokens; they know profiles, weights and rows, not texts, pairs or devices' memory."""
