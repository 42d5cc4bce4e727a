"""Makes the board pack: a folder for the firmware team, which proves itself on any machine (floor 7)."""
