"""Questions asked of an artifact, one file each (floor 4)."""
