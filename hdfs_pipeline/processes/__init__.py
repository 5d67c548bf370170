"""Processes: several under one supervisor, children that end with their parent, signals that ask for an end."""
