"""DPO of LoRA adapters with TRL and PEFT, watched by ldyn: python peft_dpo.py MODEL PAIRS DIRECTORY"""

import sys

import torch
from datasets import load_dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer

from ldyn import ProbeCallback, ProbeSet

name, pairs, directory = sys.argv[1:]
dataset = load_dataset("csv", data_files=pairs, split="train")
probes = ProbeSet.from_pairs(dataset, n_train=100, n_test=min(50, len(dataset) // 5))

trainer = DPOTrainer(
    model=AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32),
    args=DPOConfig(
        output_dir=f"{directory}-trl",
        learning_rate=1e-4,
        per_device_train_batch_size=4,
        bf16=torch.cuda.is_available(),
        use_cpu=not torch.cuda.is_available(),
        report_to="none",
    ),
    train_dataset=probes.train_dataset,
    processing_class=AutoTokenizer.from_pretrained(name),
    peft_config=LoraConfig(r=16, lora_alpha=32, task_type="CAUSAL_LM"),
)
trainer.add_callback(ProbeCallback(probes, directory, every=50))
trainer.train()
