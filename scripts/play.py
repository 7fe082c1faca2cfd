#!/usr/bin/env python3
"""`python3 scripts/play.py ARGS` is `instrument play ARGS`, on a machine that has never seen it."""

import sys

from setup_venv import hand_over, prepare

if __name__ == "__main__":
    prepare()
    sys.exit(hand_over(["-m", "instrument", "play", *sys.argv[1:]]))
