"""From a Hugging Face config.json to numbers. Knows no engine and no GPU."""
