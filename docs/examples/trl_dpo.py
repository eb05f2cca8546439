"""DPO with TRL, watched by ldyn: python trl_dpo.py MODEL PAIRS DIRECTORY

PAIRS: a CSV file with the columns prompt, chosen and rejected.
"""

import sys

import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer

from ldyn import ProbeCallback, ProbeSet

name, pairs, directory = sys.argv[1:]
dataset = load_dataset("csv", data_files=pairs, split="train")
probes = ProbeSet.from_pairs(dataset, n_train=100, n_test=min(50, len(dataset) // 5))  # test questions are held out

trainer = DPOTrainer(
    model=AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32),
    args=DPOConfig(
        output_dir=f"{directory}-trl",
        learning_rate=1e-6,
        per_device_train_batch_size=4,
        bf16=torch.cuda.is_available(),
        use_cpu=not torch.cuda.is_available(),
        report_to="none",
    ),
    train_dataset=probes.train_dataset,
    processing_class=AutoTokenizer.from_pretrained(name),
)
trainer.add_callback(ProbeCallback(probes, directory, every=50))
trainer.train()
print(f"Report: {directory}/report.html")
