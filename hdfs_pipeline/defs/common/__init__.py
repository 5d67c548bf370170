"""What all assets share: resources, metadata, checks, automation, and messages about failed runs."""
