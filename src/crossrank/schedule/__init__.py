"""Many callers, one engine: what they wait for (work), whose turn it is (turn), and who serves them (scheduler)."""
