"""What the documentation consists of, in the order in which it is read. A page in no section fails the build."""

from collections.abc import Mapping, Sequence

# Files of the repository that are pages too, where they lie elsewhere than in docs/.
ELSEWHERE: Mapping[str, str] = {
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "reporting.md",
    "STYLE.md": "style.md",
    "benchmarks/LOG.md": "benchmark-log.md",
    "recipes/README.md": "recipes.md",
    "src/crossrank/models/crossrank-mini/README.md": "crossrank-mini.md",
}
# What a link to it leads to instead: the repository's front page is not the site's.
INSTEAD: Mapping[str, str] = {"README.md": "index.md"}
# Folders whose files are shown, each on one page.
SHOWN: Mapping[str, str] = {"examples": "examples.md", "deploy": "deploy-files.md"}

# (title, page), or (title, folder/) for all pages that are generated there.
Entry = tuple[str, str]
NAV: Sequence[tuple[str, Sequence[Entry]]] = (
    (
        "Start",
        (
            ("crossrank", "index.md"),
            ("Install, first minute", "start.md"),
            ("Concepts", "concepts.md"),
            ("Choosing a model", "choosing.md"),
            ("When another tool is better", "alternatives.md"),
            ("Examples", "examples.md"),
        ),
    ),
    (
        "How to",
        (
            ("Rerank my own CSV", "howto/csv.md"),
            ("Retrieve many, rerank few", "search.md"),
            ("Serve it to a Cohere client", "howto/serve.md"),
            ("Evaluate on my labels", "howto/evaluate.md"),
            ("Fine-tune on my own data", "training.md"),
        ),
    ),
    (
        "Frameworks",
        (
            ("LangChain", "integrations/langchain.md"),
            ("LlamaIndex", "integrations/llamaindex.md"),
            ("Haystack", "integrations/haystack.md"),
            ("LanceDB", "integrations/lancedb.md"),
        ),
    ),
    (
        "Ranking",
        (
            ("Documents and fields", "documents.md"),
            ("Long documents", "long-documents.md"),
            ("Instructions", "instructions.md"),
            ("Async, many callers", "concurrency.md"),
            ("Many queries", "many-queries.md"),
            ("Caches", "caching.md"),
            ("Cascades and failover", "composition.md"),
            ("Remote rerankers", "remote.md"),
            ("Explaining a score", "explain.md"),
            ("Calibration", "calibration.md"),
        ),
    ),
    (
        "Models",
        (
            ("Known models", "models.md"),
            ("crossrank-mini", "crossrank-mini.md"),
            ("Engines", "engines.md"),
            ("Several devices", "devices.md"),
            ("Evaluation", "evaluation.md"),
            ("Recipes", "recipes.md"),
        ),
    ),
    (
        "Changing over",
        (
            ("From what you have", "migration/index.md"),
            ("From sentence-transformers", "migration/sentence-transformers.md"),
            ("From FlashRank", "migration/flashrank.md"),
            ("From rerankers", "migration/rerankers.md"),
            ("From Cohere's API", "migration/cohere.md"),
        ),
    ),
    (
        "Operating",
        (
            ("Server", "server.md"),
            ("Deployment", "deploy.md"),
            ("Its files", "deploy-files.md"),
            ("Observability", "observability.md"),
            ("Security", "security.md"),
            ("Whole data sets on Ray", "cluster.md"),
            ("Beyond one machine", "scale.md"),
        ),
    ),
    (
        "Performance",
        (
            ("Measured", "performance.md"),
            ("Benchmarks", "benchmarks.md"),
            ("Log", "benchmark-log.md"),
        ),
    ),
    (
        "Reference",
        (
            ("Python", "reference/"),
            ("Command line", "cli/"),
            ("Questions", "faq.md"),
            ("Limits", "limits.md"),
            ("Stability", "stability.md"),
        ),
    ),
    (
        "The project",
        (
            ("Architecture", "architecture.md"),
            ("Contributing", "contributing.md"),
            ("Releasing", "releasing.md"),
            ("Reporting a vulnerability", "reporting.md"),
            ("Style", "style.md"),
            ("Changelog", "changelog.md"),
        ),
    ),
)
# Pages that are being written: left out where they are not there yet. Remove a name when its page has come.
AWAITED = frozenset({})
