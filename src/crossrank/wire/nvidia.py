"""The dialect of NVIDIA's NIM: query and passages are objects, and the scores are logits."""

import msgspec

from crossrank.wire.body import Tokens, dump, items_of, parse, texts_of, tokens_of
from crossrank.wire.contract import Answer, Call, Dialect
from crossrank.wire.failure import dump_detail, parse_error

TRUNCATE = {True: "END", False: "NONE"}


class _Text(msgspec.Struct):
    text: str


class _Call(msgspec.Struct, omit_defaults=True):
    query: _Text
    passages: list[_Text]
    model: str | None = None
    truncate: str | None = None


class _Result(msgspec.Struct):
    index: int
    logit: float | None


class _Answer(msgspec.Struct, omit_defaults=True):
    rankings: list[_Result]
    usage: Tokens | None = None


def dump_call(call: Call) -> bytes:
    """The body of a call."""
    passages = [_Text(text) for text in texts_of(call.documents, "NVIDIA NIM")]
    truncate = None if call.truncate is None else TRUNCATE[call.truncate]
    return dump(_Call(_Text(call.query), passages, call.model, truncate))


def parse_call(body: bytes) -> Call:
    """The call in a body."""
    said = parse(body, _Call)
    truncate = None if said.truncate is None else said.truncate != "NONE"
    return Call(said.query.text, tuple(passage.text for passage in said.passages), said.model, truncate=truncate)


def dump_ranking(answer: Answer) -> bytes:
    """The body of an answer."""
    usage = None if answer.tokens is None else Tokens.of(answer.tokens)
    return dump(_Answer([_Result(item.index, item.score) for item in answer.items], usage))


def parse_ranking(body: bytes) -> Answer:
    """The answer in a body."""
    said = parse(body, _Answer)
    items = items_of(((one.index, one.logit, None) for one in said.rankings), "rankings[{}].logit")
    return Answer(items, tokens=tokens_of(said.usage))


NVIDIA = Dialect(
    name="nvidia",
    path="/v1/ranking",
    dump_call=dump_call,
    parse_call=parse_call,
    dump_ranking=dump_ranking,
    parse_ranking=parse_ranking,
    dump_error=dump_detail,
    parse_error=parse_error,
    calls=frozenset({"model", "truncate"}),
    answers=frozenset({"tokens"}),
    model_required=True,
    logits=True,
    call_shape=_Call,
    answer_shape=_Answer,
)
