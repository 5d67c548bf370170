"""Where verdicts go: the store today; API and pages build on it."""
