"""The Learn tab: rounds of fine-tuning and what came of them."""
