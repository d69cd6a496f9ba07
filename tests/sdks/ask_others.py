"""Asks a server through the clients of Voyage, Mixedbread, Together and Pinecone: `python ask_others.py URL KEY`.

Prints one JSON object: what came back by name, and the classes of errors.
"""

import asyncio
import json
import sys

import mixedbread
import pinecone
import together
import voyageai

QUERY = "abcd"
TEXTS = ["a", "abcd", "xyz", "abc"]
FAILING = (" ", "overloaded", "late", "broken", "unavailable", "forbidden", "missing")


def error_of(call):
    try:
        call()
    except Exception as exc:  # noqa: BLE001 - its class is what is asked
        return [type(exc).__name__, str(exc)]
    return None


def voyage(url, key, found):
    for prefix in ("/v1", "", "/voyage/v1", "/voyage"):
        client = voyageai.Client(api_key=key, base_url=url + prefix)
        answer = client.rerank(QUERY, TEXTS, model="rerank-2.5", top_k=3)
        found[f"voyage {prefix}"] = [[r.index, r.relevance_score, r.document] for r in answer.results]
        found[f"voyage tokens {prefix}"] = answer.total_tokens
    client = voyageai.Client(api_key=key, base_url=url + "/v1")
    models = {"forbidden": "other", "missing": "nowhere"}
    found["voyage errors"] = {
        query: error_of(lambda query=query: client.rerank(query, TEXTS, model=models.get(query, "m")))
        for query in FAILING
    }
    wrong = voyageai.Client(api_key="wrong", base_url=url + "/v1")
    found["voyage errors"]["key"] = error_of(lambda: wrong.rerank(QUERY, TEXTS, model="m"))

    async def awaited():
        client = voyageai.AsyncClient(api_key=key, base_url=url + "/v1")
        answers = await asyncio.gather(*(client.rerank(QUERY, TEXTS, model="m") for _ in range(50)))
        return [[[r.index, r.relevance_score] for r in answer.results] for answer in answers]

    found["voyage awaited"] = asyncio.run(awaited())


def others(url, key, found):
    mixed = mixedbread.Mixedbread(api_key=key, base_url=url, max_retries=0)
    answer = mixed.rerank(query=QUERY, input=TEXTS, model="m", top_k=2, return_input=True)
    found["mixedbread"] = [[r.index, r.score, r.input] for r in answer.data]
    found["mixedbread error"] = error_of(lambda: mixed.rerank(query=" ", input=TEXTS, model="m"))[0]
    client = together.Together(api_key=key, base_url=url, max_retries=0)
    answer = client.rerank.create(model="m", query=QUERY, documents=TEXTS, top_n=2, return_documents=True)
    found["together"] = [[r.index, r.relevance_score, r.document.text] for r in answer.results]
    found["together error"] = error_of(lambda: client.rerank.create(model="m", query=" ", documents=TEXTS))[0]
    cone = pinecone.Pinecone(api_key=key, host=url)
    answer = cone.inference.rerank(model="m", query=QUERY, documents=TEXTS, top_n=2, return_documents=True)
    found["pinecone"] = [[r.index, r.score, r.document["text"]] for r in answer.data]
    found["pinecone units"] = answer.usage.rerank_units
    found["pinecone error"] = error_of(lambda: cone.inference.rerank(model="m", query=" ", documents=TEXTS))[0]


def main(url, key):
    found = {}
    voyage(url, key, found)
    others(url, key, found)
    print(json.dumps(found))


main(*sys.argv[1:])
