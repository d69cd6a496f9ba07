"""The pages of the Python reference, from signatures and docstrings. Nothing is imported: griffe reads the sources.

A package or module with an `__all__` is public, and so is what stands in it; one that is added gets its page by itself.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import griffe

# Pages that come first, with what they are called; then those of further modules, by their names.
FIRST: Mapping[str, str] = {
    "crossrank": "Rerankers, rankings",
    "crossrank.errors": "Errors",
    "crossrank.remote": "Remote rerankers",
    "crossrank.retrieve": "Retrieval",
    "crossrank.integrations.langchain": "LangChain",
    "crossrank.integrations.lancedb": "LanceDB",
    "crossrank.integrations.llamaindex": "LlamaIndex",
    "crossrank.integrations.haystack": "Haystack",
    "crossrank.calibration": "Calibration",
    "crossrank.explain": "Explaining",
    "crossrank.observe": "Events",
    "crossrank.collection": "Collections",
    "crossrank.evaluate.candidates": "First stages",
    "crossrank.evaluate.evaluate": "Evaluating",
    "crossrank.evaluate.report": "Reports",
    "crossrank.evaluate.labels": "Labels",
    "crossrank.evaluate.calibrate": "Fitting a calibration",
    "crossrank.train": "Training",
    "crossrank.engine.cache": "Score caches",
    "crossrank.engine.pair": "What a cache keeps",
    "crossrank.cluster": "Data sets on Ray",
    "crossrank.cluster.serve": "Ray Serve",
    "crossrank.cluster.spark": "Spark",
    "crossrank.testing": "Testing your application",
    "crossrank.wire": "Dialects",
}
# Of these, which have no `__all__`, only so much is public: what the pages show.
PART: Mapping[str, tuple[str, ...]] = {
    "crossrank.evaluate.candidates": ("FirstStage", "from_run", "from_bm25", "from_pool"),
    "crossrank.evaluate.report": ("as_markdown",),
    "crossrank.evaluate.labels": ("Labels", "read_labels"),
    "crossrank.evaluate.calibrate": ("calibrate", "Calibrated"),
    "crossrank.engine.pair": ("Scored",),
}
BEFORE = (
    "Reranker",
    "Ranking",
    "Hit",
    "Ranker",
    "CrossEncoder",
    "CrossEncoderReranker",
)  # of `crossrank`, in this order
PRIVATE = {"crossrank.compat"}  # what is public there is so in `crossrank`
LINE = 88
Shown = griffe.Object | griffe.Alias


def reference_pages(sources: Path) -> dict[str, str]:
    """Markdown by file name."""
    package = griffe.load("crossrank", search_paths=[sources], docstring_parser="google", allow_inspection=False)
    assert isinstance(package, griffe.Module), "bug: crossrank is a package"
    found = {module.path for module in _modules(package) if module.exports is not None} - PRIVATE
    names = [*FIRST, *sorted(found - FIRST.keys())]
    pages = {_file(name): "\n".join(_module(package, name)) for name in names}
    lines = "\n".join(f"- [{FIRST.get(name, name)}]({_file(name)}) `{name}`" for name in names)
    front = (
        "# Python reference\n\nFrom the docstrings. What is listed here is public ([stability](../stability.md)).\n\n"
    )
    return {"index.md": f"{front}{lines}\n", **pages}


def _file(name: str) -> str:
    return f"{name.replace('.', '-')}.md"


def _modules(package: griffe.Module) -> Iterator[griffe.Module]:
    for member in package.members.values():
        if isinstance(member, griffe.Module):
            yield member
            yield from _modules(member)


def _module(package: griffe.Module, name: str) -> Iterator[str]:
    module = package[name.removeprefix("crossrank.")] if name != "crossrank" else package
    yield f"# {FIRST.get(name, name)}\n"
    yield f"`{name}`\n"
    if module.docstring:
        yield from _verbatim(module.docstring.value)
    for item in _public(module):
        yield from _item(item, level=2)


def _public(module: Shown) -> list[Shown]:
    """Those of `__all__`, or of PART; else what is defined here without an underscore."""
    if module.path in PART:
        return [module.members[name] for name in PART[module.path]]
    if module.exports is not None:
        names = [str(name) for name in module.exports if not str(name).startswith("__")]
        names.sort(key=lambda name: BEFORE.index(name) if name in BEFORE else len(BEFORE))
        return [module.members[name] for name in names if name in module.members]
    return [
        member
        for name, member in module.members.items()
        if not name.startswith("_") and not member.is_alias and (member.is_class or member.is_function)
    ]


def _item(item: Shown, *, level: int) -> Iterator[str]:
    """One name: its signature, its text, its members."""
    if item.is_alias:
        assert isinstance(item, griffe.Alias), "bug: an alias is one"
        item = item.final_target
    yield f"{'#' * level} {item.name}\n"
    if item.is_module:
        yield from _text(item)
        return
    if not (item.is_class and _is_error(item)):
        yield f"```python\n{_signature(item)}\n```\n"
    yield from _text(item)
    if item.is_class:
        for member in item.members.values():
            if not member.name.startswith("_") and not member.is_alias and member.docstring:
                yield from _item(member, level=level + 1)


def _is_error(item: Shown) -> bool:
    return item.name.endswith(("Error", "MissingExtra"))


def _signature(item: Shown) -> str:
    """As it would be written, without bodies; one parameter a line where it would be long."""
    if item.is_attribute:
        assert isinstance(item, griffe.Attribute), "bug: an attribute is one"
        head = f"{item.name}: {item.annotation}" if item.annotation else item.name
        return f"{head} = {item.value}" if item.value is not None and len(str(item.value)) < LINE else head
    callable_ = item.members.get("__init__", item) if item.is_class else item
    parameters = [part for part in _parameters(callable_) if part not in {"self", "cls"}]
    word = "class" if item.is_class else "async def" if "async" in item.labels else "def"
    if "property" in item.labels:
        return f"{item.name} -> {getattr(item, 'annotation', None) or getattr(item, 'returns', '')}"
    returns = getattr(item, "returns", None)
    tail = f" -> {returns}" if returns and not item.is_class else ""
    line = f"{word} {item.name}({', '.join(parameters)}){tail}"
    if len(line) <= LINE:
        return line
    return f"{word} {item.name}(\n" + "".join(f"    {part},\n" for part in parameters) + f"){tail}"


def _parameters(item: Shown) -> Iterator[str]:
    starred = False
    for parameter in getattr(item, "parameters", ()):
        kind = parameter.kind
        if kind is griffe.ParameterKind.keyword_only and not starred:
            starred = True
            yield "*"
        star = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}.get(kind, "")
        starred = starred or star == "*"
        note = f": {parameter.annotation}" if parameter.annotation is not None else ""
        default = parameter.default if not star and parameter.default is not None else None
        equals = "" if default is None else f" = {default}" if note else f"={default}"
        yield f"{star}{parameter.name}{note}{equals}"


def _text(item: Shown) -> Iterator[str]:
    """The docstring: texts as they are, arguments, attributes and errors as lists."""
    own = [item.docstring]
    if item.is_class and "__init__" in item.members:
        own.append(item.members["__init__"].docstring)
    for docstring in filter(None, own):
        for section in docstring.parse("google", warnings=False):
            if section.kind is griffe.DocstringSectionKind.text:
                yield from _verbatim(section.value)
            elif section.kind in TITLES:
                yield f"**{TITLES[section.kind]}**\n"
                for part in section.value:
                    name = getattr(part, "name", "") or part.annotation
                    yield f"`{name}`\n:   {' '.join(str(part.description).split())}\n"


TITLES = {
    griffe.DocstringSectionKind.parameters: "Arguments",
    griffe.DocstringSectionKind.attributes: "Attributes",
    griffe.DocstringSectionKind.raises: "Raises",
    griffe.DocstringSectionKind.returns: "Returns",
    griffe.DocstringSectionKind.yields: "Yields",
}


def _verbatim(text: str) -> Iterator[str]:
    """Paragraphs; what is indented (a tree of names, an example) as a block."""
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        lines = paragraph.splitlines()
        if all(line.startswith("    ") for line in lines):
            yield "```text\n" + "\n".join(line[4:] for line in lines) + "\n```\n"
        else:
            yield f"{paragraph}\n"
