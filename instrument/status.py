"""Everything about the present state of an engine, for people and programs."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import psutil

from instrument import __version__

if TYPE_CHECKING:
    from instrument.engine import Engine


def status_of(engine: "Engine") -> dict[str, Any]:
    """What `/instrument/status` answers, ready for JSON."""
    source = engine.source.status()
    recording = engine.recorder.state
    process = psutil.Process()
    return {
        "version": __version__,
        "project": str(engine.project.folder),
        "patch": engine.patch.name,
        "patch_problem": engine.patch_keeper.problem,
        "running": engine.is_running,
        "source": {
            "name": source.name,
            "state": source.state,
            "detail": source.detail or engine.misfit,
            "frames": source.frames,
            "dropped": source.dropped,
            "losses": source.losses,
            "rate_hz": round(engine.latencies.rate_hz(engine.now_s()), 1),
            "delay_ms": source.delay_ms,
            "strangers_refused": getattr(engine.tracker, "strangers", 0),
        },
        "recording": {
            "state": recording.phase,
            "kind": engine.recordings.kind,
            "frames": recording.frame_count,
            "seconds": recording.recorded_s,
        },
        "listen": {"track": list(engine.patch.listen.track), "is_numbers": engine.patch.listen.is_numbers},
        "takes": {"problems": list(engine.recorder.problems), "dropped_frames": engine.recorder.dropped_frames},
        "outputs": [
            {
                "name": one.output,
                "kind": one.kind,
                "range": [output.low, output.high],
                "allowed": list(output.classes),
                "classes": list(one.classes),
                "running": one.is_running,
                "model": one.model_id,
                "why_not": one.reason,
                "note": one.note,
                "bits": one.bits,
                "backend": one.backend,
                "backend_us": dict(one.backend_us),
                "backends_refused": dict(one.backends_refused),
                "drift": dict(one.drift) if one.drift else None,
                "least_familiarity": one.least_familiarity,
                "rehearsal": dict(one.rehearsal) if one.rehearsal else None,
            }
            for output, one in zip(engine.patch.outputs, engine.predictor.status(), strict=True)
        ],
        "destinations": {name: asdict(one) for name, one in engine.outputs.status().items()},
        "trainer": engine.trainer.status(),
        "coaching": engine.teaching.coaching,
        "latency": {
            name: {field: round(value, 3) for field, value in asdict(one).items()}
            for name, one in engine.latencies.summary().items()
        },
        "dropped_messages": dict(engine.server.dropped),
        "subscribers": engine.telemetry.subscribers,
        "changes": engine.telemetry.changes,
        "errors": dict(engine.errors),
        "restarts": engine.health.restarts,
        "pid": process.pid,
        "memory_mb": round(process.memory_info().rss / 1e6, 1),
        "uptime_s": round(engine.now_s() - engine.started_at_s, 1),
    }
