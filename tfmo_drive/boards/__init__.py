"""Describes boards: facts about where a model will run, each with its source; one file for each board (floor 5).

A board's file defines BOARD; its name is what `tfmo-drive pack --board=` takes.
"""
