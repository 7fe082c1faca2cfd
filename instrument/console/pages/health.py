"""How the instrument has fared over the last hour: for who looks after it, before a show or after a night."""

from nicegui import ui

from instrument.console.components.curve import curve
from instrument.console.components.incidents import incidents
from instrument.console.components.processes import processes
from instrument.console.components.save_report import save_report
from instrument.console.components.uploads import uploads
from instrument.console.texts import TEXTS
from instrument.latency import STAGES


def health() -> None:
    """Curves of the last hour, what went wrong in it, the processes, a report to save, and projects to bring in."""
    with ui.element("section").classes("curves"):
        curve("total", "total_p50", "total_p99", unit="unit_ms")
        curve("jitter", "total_jitter", unit="unit_ms")
        curve("rate", "rate_hz", unit="unit_rate")
        curve("dropped", "dropped", kind="count")
        curve("tracked", "tracked", unit="unit_percent", kind="share")
        curve("lost", "tracking_losses", kind="count")
        curve("sent", "sent", unit="unit_rate", kind="rate")
        curve("errors", "errors", "unsent", kind="count")
    with ui.element("section").classes("health-side"):
        processes()
        incidents()
        save_report()
        uploads()
    ui.html(TEXTS["health_stages"], tag="h2", sanitize=False)
    with ui.element("section").classes("curves stages"):
        for stage in STAGES:
            curve(f"stage_{stage}", f"{stage}_p50", f"{stage}_p99", unit="unit_ms")
        curve("delay", "delay_ms", unit="unit_ms")
