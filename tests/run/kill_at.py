"""`KILL_AT="WHEN STAGE STEP SIGNAL" python kill_at.py train ...`: `ldyn train`, which signals itself.

WHEN: "scored" (the scores after STEP of STAGE are stored), "scoring" (in the middle of that measurement) or
"saving" (the checkpoint after STEP has its weights and optimiser, but is not complete).

A run of several processes: KILL_AT="WHEN STAGE STEP SIGNAL RANK" signals the process of that rank,
"... RANK parent" the one that started it. They import this file as their main module, by another name.
"""

import os
import sys
from pathlib import Path

from ldyn.cli.main import main

WHEN = tuple(os.environ["KILL_AT"].split())
OF_SEVERAL = len(WHEN) > 4


def signal_now(*args, **options):
    os.kill(os.getppid() if WHEN[5:] == ("parent",) else os.getpid(), int(WHEN[3]))


def is_here(when: str, stage: str, step: int) -> bool:
    return (when, stage, str(step)) == WHEN[:3] and (not OF_SEVERAL or os.environ["RANK"] == WHEN[4])


def prepare() -> None:
    """Put the signal where it belongs."""
    from transformers import Trainer

    from ldyn.probes import engine
    from ldyn.run.probing import StageProbes
    from ldyn.run.session import Session

    def after_scoring(record_scores):
        def record(self, at, *measured):
            record_scores(self, at, *measured)
            if is_here("scored", at.stage, at.step):
                signal_now()

        return record

    measure = StageProbes.measure

    def measured(self, model, step):
        if is_here("scoring", self._stage, step):
            engine.batch_stats = signal_now
        return measure(self, model, step)

    save_rng_state = Trainer._save_rng_state

    def save_half(self, directory):
        save_rng_state(self, directory)
        if is_here("saving", Path(self.args.output_dir).name, self.state.global_step):
            signal_now()

    Session.record_scores = after_scoring(Session.record_scores)
    StageProbes.measure = measured
    Trainer._save_rng_state = save_half


if not OF_SEVERAL or __name__ == "__mp_main__":
    prepare()
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
