"""The console: a web page that shows the instrument and sends it the commands anyone can send.

A process of its own and a client of the OSC protocol, nothing more: whether it is there, killed or
open ten times changes nothing for the sound. See docs/console.md.
"""
