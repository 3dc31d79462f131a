"""What runs inside vLLM's workers: the doses, the scoring, and how a risk comes back out."""
