"""The console's pages, in the order of the bar."""

from instrument.console.frame import Page
from instrument.console.pages.camera import camera
from instrument.console.pages.health import health
from instrument.console.pages.map import map_page
from instrument.console.pages.rehearse import rehearse
from instrument.console.pages.stage import stage
from instrument.console.pages.teach import teach

PAGES = (
    Page(path="/", title="Stage", build=stage),
    Page(path="/teach", title="Teach", build=teach),
    Page(path="/map", title="Map", build=map_page),
    Page(path="/rehearse", title="Rehearse", build=rehearse),
    Page(path="/camera", title="Camera", build=camera),
    Page(path="/health", title="Health", build=health),
)
