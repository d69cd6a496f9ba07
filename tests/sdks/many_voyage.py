"""Many calls through Voyage's asynchronous client: `python many_voyage.py URL CALLS`; prints the orders that came."""

import asyncio
import json
import sys
from collections import Counter

import voyageai


async def main(url, calls):
    client = voyageai.AsyncClient(api_key="k", base_url=url + "/v1")
    free = asyncio.Semaphore(16)

    async def one():
        async with free:
            answer = await client.rerank("abcd", ["a", "abcd", "xyz", "abc"], model="m")
            return str([result.index for result in answer.results])

    print(json.dumps({"orders": Counter(await asyncio.gather(*(one() for _ in range(calls))))}))


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
