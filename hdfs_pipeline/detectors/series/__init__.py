"""Detectors of series: what is unusual at steps of many metrics that follow each other in time."""
