"""Every English word of the page, in one place: what the modules in static/ show is looked up here by name.

`{name}` is filled in where the text is used.
"""

TEXTS: dict[str, str] = {
    # The bar
    "skip": "Skip to the page",
    "pages": "Pages",
    "sound_on": "Sound on",
    "sound_off": "Sound off",
    "sound_about": "Hear the instrument in this page (S)",
    "sound_none": "No route of this patch goes to the page",
    "panic": "Silence",
    "panic_about": "Ends every note and stops sending (Escape)",
    "resume": "Play on",
    "resume_about": "Sends again what the models see",
    "state_gone": "The engine is away. It is started again by itself; this page goes on when it is back.",
    "state_page_gone": "This page has lost the console. It comes back by itself.",
    "state_starting": "Starting",
    "state_silent": "Not playing",
    "state_source": "Source {state}: {detail}",
    "state_playing": "Playing",
    # Camera
    "camera_about": "What the camera sees, with the skeleton found in it",
    "camera_nobody": "Nobody in view",
    "camera_waiting": "Waiting for a picture",
    "camera_no_picture": "No picture: this patch listens to numbers",
    "mirror": "Mirror",
    "mirror_about": "Show the picture as in a mirror (M)",
    "blind": "Blind",
    "blind_about": "Show the skeleton without the picture (B)",
    "fullscreen": "Full screen",
    "fullscreen_about": "Fill the screen (F)",
    # Recognised
    "recognised": "Recognised",
    "recognised_nothing": "...",
    "recognised_untrained": "Not taught yet",
    "recognised_teach": "Show it a posture on the Teach page",
    "confidence": "{percent} % sure",
    # Meters
    "meters": "Controls",
    "meters_none": "This patch has no routes yet",
    "meter_muted": "muted",
    # Vitals
    "vitals": "How it runs",
    "vital_latency": "Latency",
    "vital_rate": "Frames",
    "vital_tracking": "Tracking",
    "vital_sent": "Sent",
    "unit_ms": "ms",
    "unit_rate": "/s",
    "unit_percent": "%",
    "unit_sent": "/s",
}
