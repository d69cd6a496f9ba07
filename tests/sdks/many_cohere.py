"""Many calls through Cohere's asynchronous client: `python many_cohere.py URL CALLS`; prints the orders that came."""

import asyncio
import json
import sys
from collections import Counter

import cohere


async def main(url, calls):
    client = cohere.AsyncClientV2(base_url=url, api_key="k")
    free = asyncio.Semaphore(16)

    async def one():
        async with free:
            answer = await client.rerank(model="m", query="abcd", documents=["a", "abcd", "xyz", "abc"])
            return str([result.index for result in answer.results])

    print(json.dumps({"orders": Counter(await asyncio.gather(*(one() for _ in range(calls))))}))


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
