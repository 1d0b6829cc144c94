"""Chores on a schedule. Owns APScheduler; nothing clinical happens here."""
