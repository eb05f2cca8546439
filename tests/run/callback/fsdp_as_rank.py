"""One process of those that train together with ProbeCallback: run by test_callback_models.py for each rank.

    python fsdp_as_rank.py RANK DIR

Reads DIR/task.pt (model, tokenizer, probes). Where DIR/run-1 is there, two processes divide the weights and write
DIR/run-2 and DIR/sharded.pt; else one process trains alone and writes DIR/run-1.
"""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed
from transformers import Trainer, TrainerCallback, TrainingArguments

from ldyn import ProbeCallback
from ldyn.models.evaluation import is_sharded

sys.path.append(str(Path(__file__).parents[2] / "training"))
from train_as_rank import shard_on_cpu


class Watch(TrainerCallback):
    def __init__(self):
        self.sharded = []

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.sharded.append(is_sharded(model))


def main(rank: int, directory: Path) -> None:
    torch.set_num_threads(1)
    task = torch.load(directory / "task.pt", weights_only=False)
    tokenizer, probes = task["tokenizer"], task["probes"]
    is_alone = not (directory / "run-1").exists()
    if not is_alone:
        os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", LOCAL_WORLD_SIZE="2")
        where = f"file://{directory}/meeting"
        distributed.init_process_group(
            "gloo", init_method=where, rank=rank, world_size=2, timeout=timedelta(seconds=60)
        )
        shard_on_cpu()

    def encode(row):
        prompt, whole = (tokenizer(text)["input_ids"] for text in (row["prompt"], row["prompt"] + row["chosen"]))
        ids = (whole + [tokenizer.pad_token_id] * 64)[:64]
        labels = ([-100] * len(prompt) + whole[len(prompt) :] + [-100] * 64)[:64]
        return {"input_ids": ids, "labels": labels}

    dataset = probes.train_dataset
    args = TrainingArguments(
        output_dir=str(directory / "trl"), use_cpu=True, bf16=False, report_to="none", logging_steps=1, seed=0,
        learning_rate=1e-3, disable_tqdm=True, save_strategy="no", max_steps=2,
        per_device_train_batch_size=4 if is_alone else 2, **({} if is_alone else {"fsdp": True}),
    )  # fmt: skip
    encoded = dataset.map(encode, remove_columns=dataset.column_names)
    trainer = Trainer(task["model"], args, train_dataset=encoded, processing_class=tokenizer)
    watch = Watch()
    trainer.add_callback(ProbeCallback(probes, directory / f"run-{1 if is_alone else 2}", every=1))
    trainer.add_callback(watch)
    trainer.train()
    if not is_alone and rank == 0:
        torch.save(watch.sharded, directory / "sharded.pt")


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
