"""`python -m tfmo_drive VERB`: the command `tfmo-drive` where it is not on the path."""

from tfmo_drive.commands.verbs import main

if __name__ == "__main__":
    main()
