"""Facts as rows, each with its source: GPUs, models, engines. Knows no cluster and decides nothing."""
