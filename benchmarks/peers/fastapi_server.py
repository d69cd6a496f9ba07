"""The straightforward server: FastAPI around a CrossEncoder, as tutorials have it. Arguments: MODEL PORT THREADS."""

import sys

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sentence_transformers import CrossEncoder

MODEL, PORT, THREADS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(THREADS)
app = FastAPI()
model = CrossEncoder(MODEL, model_kwargs={"dtype": torch.float32})  # stored as fp16, in which a CPU is slower


class Call(BaseModel):
    query: str
    documents: list[str]


@app.post("/rerank")
def rerank(call: Call) -> dict[str, list[dict[str, float]]]:
    scores = model.predict([(call.query, document) for document in call.documents], show_progress_bar=False)
    order = sorted(range(len(scores)), key=lambda index: -scores[index])
    return {"results": [{"index": index, "relevance_score": float(scores[index])} for index in order]}


uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning")
