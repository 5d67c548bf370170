"""Experiments: detectors compared on the same items, what the figures come to, and a report of it."""
