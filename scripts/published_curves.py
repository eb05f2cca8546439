"""Write the small copy of the published logs that the results page draws and quotes: `make published LDYN_SHARED=DIR`.

Reads the directories of logs under DIR/reference_logs as `ldyn import-logs` does; writes ``ldyn/report/texts``: for
each pair of logs the mean curves of log π (Parquet) and, in ``published.json``, stages, findings and notes.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

from ldyn.findings import find_all
from ldyn.records import TRAJECTORY_COLUMNS
from ldyn.report.curves import summarise
from ldyn.report.published import CURVES, DIRECTORY, INDEX
from ldyn.store.directory import plain
from ldyn.store.published_runs import LogSource, import_logs, rows_of

LOGS = {
    "Pythia-410M": ("pythia410m_sft", "pythia410m_dpo"),
    "Qwen1.5-1.8B": ("qwen1_8b_sft", "qwen1_8b_dpo"),
}


def main() -> None:
    logs = Path(os.environ.get("LDYN_SHARED", "../shared"), "reference_logs")
    index = {}
    for name, directories in LOGS.items():
        stages = import_logs([LogSource(logs / directory) for directory in directories])
        table = rows_of(stages).reindex(columns=list(TRAJECTORY_COLUMNS))
        infos = [stage.info for stage in stages]
        curves = summarise(table, ("logp",))
        numbers = curves.select_dtypes("float").columns
        curves.astype(dict.fromkeys(numbers, "float32")).to_parquet(DIRECTORY / CURVES.format(name=name))
        index[name] = {
            "stages": [asdict(info) for info in infos],
            "findings": find_all(table, infos),
            "notes": [note for stage in stages for note in stage.notes],
        }
    text = json.dumps(plain(index), indent=1, ensure_ascii=False) + "\n"
    (DIRECTORY / INDEX).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
