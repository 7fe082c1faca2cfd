"""The console's pages, in the order of the bar."""

from instrument.console.frame import Page
from instrument.console.pages.stage import stage

PAGES = (Page(path="/", title="Stage", build=stage),)
