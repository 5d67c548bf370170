"""Training, judging, recording, measuring."""
