"""One file per experiment: a lab notebook that says the command, the time and the measured result."""
