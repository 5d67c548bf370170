"""Logs of applications and services: each message is an item."""
