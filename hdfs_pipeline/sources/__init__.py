"""Bytes in, no meaning."""
