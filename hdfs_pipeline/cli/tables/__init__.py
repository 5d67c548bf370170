"""What the commands show: tables and sentences for a terminal."""
