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
            ("Examples", "examples.md"),
        ),
    ),
    (
        "How to",
        (
            ("Rerank my own CSV", "howto/csv.md"),
            ("Put it into a LangChain app", "howto/langchain.md"),
            ("Serve it to a Cohere client", "howto/serve.md"),
            ("Evaluate on my labels", "howto/evaluate.md"),
            ("Fine-tune", "howto/train.md"),
        ),
    ),
    (
        "Ranking",
        (
            ("Documents and fields", "documents.md"),
            ("Long documents", "long-documents.md"),
            ("Instructions", "instructions.md"),
            ("Many queries", "many-queries.md"),
            ("Many machines: a data set on Ray", "cluster.md"),
            ("Async, many callers", "concurrency.md"),
            ("Caches", "caching.md"),
            ("Explaining a score", "explain.md"),
            ("Calibration", "calibration.md"),
        ),
    ),
    (
        "Putting together",
        (
            ("Retrieve many, rerank few", "search.md"),
            ("Cascades and failover", "composition.md"),
            ("Remote rerankers", "remote.md"),
            ("LangChain", "integrations/langchain.md"),
            ("LlamaIndex", "integrations/llamaindex.md"),
            ("Haystack", "integrations/haystack.md"),
            ("LanceDB", "integrations/lancedb.md"),
            ("sentence-transformers", "integrations/sentence-transformers.md"),
        ),
    ),
    (
        "Models and engines",
        (
            ("Models", "models.md"),
            ("crossrank-mini", "crossrank-mini.md"),
            ("Engines", "engines.md"),
            ("Several devices", "devices.md"),
            ("Evaluation", "evaluation.md"),
            ("Training", "training.md"),
            ("Recipes", "recipes.md"),
        ),
    ),
    (
        "Operating",
        (
            ("Server", "server.md"),
            ("Deployment", "deploy.md"),
            ("Its files", "deploy-files.md"),
            ("Observability", "observability.md"),
            ("Whole data sets", "cluster.md"),
            ("Scaling out", "scale.md"),
            ("Security", "security.md"),
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
        "Changing over",
        (
            ("From sentence-transformers", "migration/sentence-transformers.md"),
            ("From FlashRank", "migration/flashrank.md"),
            ("From rerankers", "migration/rerankers.md"),
            ("From LangChain's class", "migration/langchain.md"),
            ("From LanceDB's class", "migration/lancedb.md"),
            ("From Cohere's API", "migration/cohere.md"),
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
