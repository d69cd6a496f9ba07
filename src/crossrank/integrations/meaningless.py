"""What the frameworks' stock classes take and has no meaning here, with what to do instead."""

LANCEDB = {
    "trust_remote_code": "code of a checkpoint is never run",
    "batch_size": "batches are planned by tokens",
    "model_kwargs": "give ranker=crossrank.Reranker(model, precision=...)",
}
LLAMAINDEX = {"trust_remote_code": "code of a checkpoint is never run"}
HAYSTACK = {
    "trust_remote_code": "code of a checkpoint is never run",
    "token": "set HF_TOKEN in the environment",
    "backend": "give ranker=crossrank.Reranker(model, backend=...)",
    "model_kwargs": "give ranker=crossrank.Reranker(model, precision=...)",
    "tokenizer_kwargs": "max_length= says how much of a pair is read",
    "config_kwargs": "a checkpoint is taken as it is stored",
    "batch_size": "batches are planned by tokens",
}
