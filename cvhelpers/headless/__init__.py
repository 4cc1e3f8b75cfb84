"""One notebook run without a person, and what came of it; no torch at import."""
