"""Messages and answers of the server, made for a test, and a way to give them to a page."""

from __future__ import annotations

from stand_in import RUN


def tell(page, *events):
    """Give the training node messages, and wait until they are drawn."""
    page.evaluate(
        "async (events) => {"
        " await Promise.all(events.map((event) => nodes.event(event))); await helpers.drawn(); }",
        list(events),
    )


def step(number, *, run=RUN, steps=3000, seconds=1.0, losses=None, **others):
    return {
        "event": "step",
        "node": "3",
        "run": run,
        "step": number,
        "steps": steps,
        "losses": losses or {"ldm": 0.5},
        "total_loss": 0.35,
        "grad_norm": 0.2,
        "learning_rate": 1e-4,
        "seconds": seconds,
        "memory_bytes": 2**30,
        **others,
    }


def estimate(**others):
    """What a run tells of its memory before its first step, before its id is known too."""
    return {
        "event": "estimate",
        "node": "3",
        "level": "balanced",
        "parts": {"weights of the UNet": 3 * 2**29, "L_P and L_C": 2**31},
        "peak_bytes": 4 * 2**30,
        "needed_bytes": 5 * 2**29,
        "free_bytes": 6 * 2**30,
        "fits": True,
        **others,
    }


def history(steps, **losses):
    """Return the answer of GET /scoft/runs/{run} for steps 1 to `steps`."""
    number = list(range(1, steps + 1))
    constant = {"seconds": 1.0, "total_loss": 0.35, "grad_norm": 0.2, "learning_rate": 1e-4}
    return {
        "run": RUN,
        "node": "3",
        "state": "running",
        "message": "",
        "settings": {"run_id": RUN, "device": "cuda:0", "precision": "bfloat16", "start_step": 0},
        "steps": 3000,
        "history": {name: [value] * steps for name, value in constant.items()}
        | {
            "step": number,
            "memory_bytes": [2**30] * steps,
            "losses": {"ldm": [0.5 + 0.4 / value for value in number], **losses},
        },
        "validations": [],
        "previews": [],
        "warnings": [],
        "phase": {"phase": "latents", "done": 4, "total": 4},
    }


def previews(*steps):
    """Return two previews of each of these steps."""
    return [
        {"step": n, "prompt": f"prompt {i}", "name": f"previews/step-{n:08}-{i:02}.png"}
        for n in steps
        for i in (0, 1)
    ]
