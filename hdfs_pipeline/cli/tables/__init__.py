"""Tables and sentences that the commands print on a terminal."""
