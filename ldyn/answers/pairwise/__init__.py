"""Which of two answers is better: asked in both orders, with ties, lengths and intervals; no answer is dropped."""
