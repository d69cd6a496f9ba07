"""How language models are asked whether a document answers a query: their authors' templates, as data.

Each text is tokenised on its own, as the authors do, so that the ids are theirs. It knows texts; no tokenizer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from crossrank.errors import UsageError

QUERY, DOCUMENT, INSTRUCTION = "{query}", "{document}", "{instruction}"


@dataclass(frozen=True, slots=True)
class Prompt:
    """One template; `{instruction}` may stand anywhere.

    Attributes:
        name: what `template=` calls it.
        before: texts before the query.
        query: with `{query}`.
        between: text between query and document.
        document: ends with `{document}`.
        after: texts after the document.
        instruction: what stands for `{instruction}` unless the caller gives one; None: `bare` is asked then.
        bare: takes the place of `query` without an instruction, where that is another text.
        yes: the answer that counts.
        no: the answer that counts against it; None: only `yes` counts.
        tokens_max: how much of a pair its authors have it read.
        marker: what the chat template of a checkpoint holds that was made for this prompt; "": nothing tells.
        source: where it is from.
    """

    name: str
    before: tuple[str, ...]
    query: str
    between: str
    document: str
    after: tuple[str, ...]
    yes: str
    no: str | None
    source: str
    instruction: str | None = None
    bare: str = ""
    marker: str = ""
    tokens_max: int = 8_192  # of a pair, as its authors cut it

    @property
    def instructed(self) -> bool:
        """Whether there is a place for an instruction."""
        return any(INSTRUCTION in text for text in (*self.before, self.query, self.between, self.document, *self.after))

    def texts(self, instruction: str | None) -> "PromptTexts":
        """The texts for an instruction, or for the authors' own."""
        wanted = instruction or self.instruction
        asked = self.bare if wanted is None and self.bare else self.query
        prefix, _, suffix = asked.partition(QUERY)

        def told(text: str) -> str:
            return text.replace(INSTRUCTION, wanted or "")

        return PromptTexts(
            before=tuple(map(told, self.before)),
            query=(told(prefix), told(suffix)),
            between=told(self.between),
            document=told(self.document.removesuffix(DOCUMENT)),
            after=tuple(map(told, self.after)),
        )


@dataclass(frozen=True, slots=True)
class PromptTexts:
    """A prompt with its instruction in place.

    Attributes:
        before: texts before the query.
        query: what goes before and after the query's text and is tokenised with it.
        between: text between query and document.
        document: what goes before the document's text and is tokenised with it.
        after: texts after the document.
    """

    before: tuple[str, ...]
    query: tuple[str, str]
    between: str
    document: str
    after: tuple[str, ...]


_CHAT_END = "<|im_end|>\n<|im_start|>assistant\n"
_QWEN3_TASK = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
)
_QWEN2_CHAT = (
    "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\n"
)
_MXBAI_TASK = (
    "You are a search relevance expert who evaluates how well documents match search queries. For each query-document "
    "pair, carefully analyze the semantic relationship between them, then provide your binary relevance judgment (0 "
    "for not relevant, 1 for relevant).\nRelevance:"
)
_PASSAGE_B = (
    "Given a query A and a passage B, determine whether the passage contains an answer to the query by providing a "
    "prediction of either 'Yes' or 'No'."
)
_MONO_T5 = Prompt(
    name="monot5",
    before=(),
    # Its tokenizer splits at blanks before anything else, so the parts' ids are those of the whole text.
    query="Query: {query}",
    between="",
    document="Document: {document}",
    after=("Relevant:", "</s>"),
    yes="true",
    no="false",
    tokens_max=512,
    source="arXiv 2003.06713, and pygaggle's rerank/transformer.py",
)
PROMPTS: Mapping[str, Prompt] = {
    prompt.name: prompt
    for prompt in (
        Prompt(
            name="qwen3-reranker",
            before=(_QWEN3_TASK,),
            # A blank never joins the colon before it in one token, a line break may join the query's last sign.
            query="<Instruct>: {instruction}\n<Query>: {query}\n<Document>:",
            between="",
            document=" {document}",
            after=(_CHAT_END + "<think>\n\n</think>\n\n",),
            yes="yes",
            no="no",
            instruction="Given a web search query, retrieve relevant passages that answer the query",
            marker="Judge whether the Document meets the requirements",
            source="the model card of Qwen/Qwen3-Reranker-0.6B",
        ),
        Prompt(
            name="mxbai-rerank-v2",
            before=(_QWEN2_CHAT,),
            query="instruction: {instruction}\nquery: {query}",
            bare="query: {query}",
            between="\n",
            document="document: {document}",
            after=("\n", _MXBAI_TASK, _CHAT_END),
            yes="1",
            no="0",
            marker="You are a search relevance expert",
            source="mxbai_rerank_v2.py of the package mxbai-rerank 0.1.6",
        ),
        Prompt(
            name="bge-reranker-gemma",
            before=("<bos>",),
            query="A: {query}",
            between="\n",
            document="B: {document}",
            after=("\n", "{instruction}"),
            yes="Yes",
            no=None,
            instruction=_PASSAGE_B,
            tokens_max=1_024,
            source="the model card of BAAI/bge-reranker-v2-gemma, and FlagEmbedding's decoder-only base reranker",
        ),
        Prompt(
            name="bge-reranker-layerwise",
            before=("<s>",),
            query="A: {query}",
            between="\n",
            document="B: {document}",
            after=("\n", "{instruction}"),
            yes="Yes",
            no=None,
            instruction=_PASSAGE_B,
            tokens_max=1_024,
            source="the model card of BAAI/bge-reranker-v2-minicpm-layerwise, and FlagEmbedding's layerwise reranker",
        ),
        _MONO_T5,
        replace(_MONO_T5, name="monot5-yes-no", yes="yes", no="no", source="pygaggle's table of answers, for mT5"),
        replace(_MONO_T5, name="monot5-sim-nao", yes="sim", no="não", source="pygaggle's table of answers, for PTT5"),
        replace(
            _MONO_T5,
            name="rankt5",
            after=("</s>",),
            yes="<extra_id_10>",
            no=None,
            source="arXiv 2210.10634, section 4.2, and run_monot5_rankt5.py of soyoung97/ListT5",
        ),
    )
}


def read_prompt(folder: Path, tokenizer: Mapping[str, Any], template: str | None) -> Prompt | None:
    """The prompt that is named, or that the checkpoint's chat template was made for; None where nothing tells.

    Args:
        folder: of the checkpoint.
        tokenizer: its tokenizer_config.json.
        template: the name of a prompt.

    Raises:
        UsageError: there is no prompt of that name.
    """
    if template is not None:
        if template not in PROMPTS:
            raise UsageError(f"template={template!r} is not known; known are {', '.join(PROMPTS)}")
        return PROMPTS[template]
    file = folder / "chat_template.jinja"
    chat = str(tokenizer.get("chat_template") or "") + (file.read_text(encoding="utf-8") if file.is_file() else "")
    return next((prompt for prompt in PROMPTS.values() if prompt.marker and prompt.marker in chat), None)
