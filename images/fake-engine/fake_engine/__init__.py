"""An engine that computes nothing and behaves like `vllm serve` 0.32.0 or `trtllm-serve` 1.2.1 in everything else.

It reads the real command lines as strictly as the real programs, counts the GPUs it was given, forms its group over TCP,
serves the OpenAI API and reports the metrics of the engine it stands for. It knows nothing of Kubernetes or Shardwright.
"""
