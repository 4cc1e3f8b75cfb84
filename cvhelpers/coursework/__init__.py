"""Notebooks as coursework: manifest, headless runs, report, template, evidence; without torch."""
