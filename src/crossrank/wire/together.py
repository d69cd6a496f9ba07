"""Together's dialect: Cohere's v1 call, answered with `usage` and documents as objects; errors are OpenAI's."""

import msgspec

from crossrank.wire.body import Result, Tokens, dump, items_of_results, parse, text_object, tokens_of
from crossrank.wire.cohere import CallV1, dump_call_v1, parse_call_v1
from crossrank.wire.contract import Answer, Dialect
from crossrank.wire.failure import dump_nested, parse_error


class _Answer(msgspec.Struct, omit_defaults=True):
    results: list[Result]
    object: str | None = None
    id: str | None = None
    model: str | None = None
    usage: Tokens | None = None


def dump_ranking(answer: Answer) -> bytes:
    """The body of an answer."""
    results = [Result(item.index, item.score, text_object(item.document)) for item in answer.items]
    return dump(_Answer(results, "rerank", answer.id, answer.model, Tokens.of(answer.tokens or 0)))


def parse_ranking(body: bytes) -> Answer:
    """The answer in a body."""
    said = parse(body, _Answer)
    return Answer(items_of_results(said.results), said.model, said.id, tokens=tokens_of(said.usage))


TOGETHER = Dialect(
    name="together",
    path="/v1/rerank",
    dump_call=dump_call_v1,
    parse_call=parse_call_v1,
    dump_ranking=dump_ranking,
    parse_ranking=parse_ranking,
    dump_error=dump_nested,
    parse_error=parse_error,
    calls=frozenset({"model", "top_n", "fields", "return_documents"}),
    answers=frozenset({"model", "id", "tokens", "documents"}),
    failures=frozenset({"code"}),
    objects=True,
    model_required=True,
    call_shape=CallV1,
    answer_shape=_Answer,
)
