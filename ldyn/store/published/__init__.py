"""The logs that the paper's authors, and those who used their code, published: from their directories to a run
directory.
"""

from ldyn.store.published.importer import ImportedRun, import_logs, write_run
from ldyn.store.published.stages import KINDS, LogSource

__all__ = ["KINDS", "ImportedRun", "LogSource", "import_logs", "write_run"]
