"""The panels pages are composed of: each a few lines that put one custom element into the page.

A component shows one part of the protocol; what moves in it is drawn by its module in static/.
"""
