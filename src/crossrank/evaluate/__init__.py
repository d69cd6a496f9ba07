"""Telling the truth about a ranker: test collections, first stages, measures, significance, reports."""
