"""What is handed out and in; no torch at import."""
