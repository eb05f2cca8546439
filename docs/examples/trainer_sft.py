"""SFT with transformers' Trainer, watched by ldyn: python trainer_sft.py MODEL PAIRS DIRECTORY"""

import sys

import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, DataCollatorForSeq2Seq, Trainer, TrainingArguments

from ldyn import ProbeCallback, ProbeSet

name, pairs, directory = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(name)
dataset = load_dataset("csv", data_files=pairs, split="train")
probes = ProbeSet.from_pairs(dataset, n_train=100, n_test=min(50, len(dataset) // 5))


def encode(row):
    prompt = tokenizer(row["prompt"])["input_ids"]
    ids = tokenizer(row["prompt"] + row["chosen"] + tokenizer.eos_token)["input_ids"]
    return {"input_ids": ids, "labels": [-100] * len(prompt) + ids[len(prompt) :]}


trainer = Trainer(
    model=AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32),
    args=TrainingArguments(
        output_dir=f"{directory}-trainer",
        learning_rate=1e-5,
        per_device_train_batch_size=4,
        use_cpu=not torch.cuda.is_available(),
        report_to="none",
    ),
    train_dataset=probes.train_dataset.map(encode, remove_columns=dataset.column_names),
    data_collator=DataCollatorForSeq2Seq(tokenizer),
    processing_class=tokenizer,
)
trainer.add_callback(ProbeCallback(probes, directory, every=50))
trainer.train()
