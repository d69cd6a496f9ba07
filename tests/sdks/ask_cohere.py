"""Asks a server through Cohere's client, of whichever version is installed here: `python ask_cohere.py URL KEY`.

Prints one JSON object: what came back by name, and the class of error by the query that makes the server fail.
"""

import asyncio
import json
import sys

import cohere

QUERY = "abcd"
TEXTS = ["a", "abcd", "xyz", "abc"]
ONCE = {"max_retries": 0}


def said(answer):
    return [[result.index, result.relevance_score] for result in answer.results]


async def awaited(url, key):
    client = cohere.AsyncClientV2(base_url=url, api_key=key)
    calls = (client.rerank(model="m", query=QUERY, documents=TEXTS) for _ in range(50))
    return [said(answer) for answer in await asyncio.gather(*calls)]


def main(url, key):
    v2 = cohere.ClientV2(base_url=url, api_key=key)
    v1 = cohere.Client(base_url=url, api_key=key)
    found = {"version": cohere.__version__, "errors": {}}
    for prefix in ("", "/cohere"):
        below = cohere.ClientV2(base_url=url + prefix, api_key=key)
        found[f"v2 {prefix}"] = said(below.rerank(model="m", query=QUERY, documents=TEXTS))
        answer = cohere.Client(base_url=url + prefix, api_key=key).rerank(
            model="m", query=QUERY, documents=TEXTS, top_n=2, return_documents=True
        )
        found[f"v1 {prefix}"] = [[r.index, r.relevance_score, r.document.text] for r in answer.results]
        found[f"units {prefix}"] = answer.meta.billed_units.search_units
    found["top_n"] = said(v2.rerank(model="m", query=QUERY, documents=TEXTS, top_n=1, max_tokens_per_doc=4096))
    fields = v1.rerank(query=QUERY, documents=[{"x": "a", "y": "z"}, {"x": "abcd", "y": "z"}], rank_fields=["x"])
    found["fields"] = [r.index for r in fields.results]
    found["awaited"] = asyncio.run(awaited(url, key))
    for query in (" ", "overloaded", "late", "broken", "unavailable", "forbidden", "missing", "large"):
        try:
            model = {"forbidden": "other", "missing": "nowhere"}.get(query, "m")
            documents = ["x" * 1_200_000] if query == "large" else TEXTS
            v2.rerank(model=model, query=query, documents=documents, request_options=ONCE)
        except cohere.core.ApiError as exc:
            found["errors"][query] = [type(exc).__name__, exc.status_code, exc.body["message"]]
    try:
        cohere.ClientV2(base_url=url, api_key="wrong").rerank(model="m", query=QUERY, documents=TEXTS)
    except cohere.core.ApiError as exc:
        found["errors"]["key"] = [type(exc).__name__, exc.status_code, exc.body["message"]]
    # After an overload it comes again by itself, as the server asks it to.
    found["again"] = said(v2.rerank(model="m", query="overloaded once", documents=["a"]))
    print(json.dumps(found))


main(*sys.argv[1:])
