"""State of skorch's loop after a step, besides weights and random numbers; and the loop in that state again."""

from __future__ import annotations

import time
from typing import Any

STOPPING = ("misses_", "dynamic_threshold_", "best_epoch_", "best_model_weights_")  # what early stopping knows


def state_of(net: Any) -> dict[str, Any]:
    """State of a training after a step, besides weights and random numbers."""
    callbacks = dict(net.callbacks_)
    schedule, stopping = callbacks.get("lr_schedule"), callbacks.get("early_stopping")
    *before, now = net.history
    return {
        "epochs": [{**row, "batches": []} for row in before],
        "epoch": now,
        "seconds": time.time() - callbacks["epoch_timer"].epoch_start_time_,
        "optimizer": net.optimizer_.state_dict(),
        "schedule": None if schedule is None else (schedule.batch_idx_, schedule.lr_scheduler_.state_dict()),
        "stopping": None if stopping is None else {name: getattr(stopping, name) for name in STOPPING},
    }


def resume(net: Any, state: dict[str, Any]) -> None:
    """Put a loop that is about to begin into a state."""
    callbacks = dict(net.callbacks_)
    net.history.extend(state["epochs"])
    net.optimizer_.load_state_dict(state["optimizer"])
    if state["schedule"] is not None:
        schedule = callbacks["lr_schedule"]
        schedule.batch_idx_, of_scheduler = state["schedule"]
        schedule.lr_scheduler_.load_state_dict(of_scheduler)
    for name, value in (state["stopping"] or {}).items():
        setattr(callbacks["early_stopping"], name, value)
