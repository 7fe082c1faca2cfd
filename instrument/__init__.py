"""A gesture-driven live-performance instrument that learns.

Show it a few takes of each gesture; it trains in about a second; from then on every frame
of the webcam becomes OSC and MIDI. Importing this package does nothing.
"""

__version__ = "0.1.0"
