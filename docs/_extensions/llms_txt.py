"""Write ``llms.txt`` (https://llmstxt.org): each page, its address and first sentence, in the order of toctrees."""

from pathlib import Path

from docutils import nodes
from sphinx import addnodes

INTRODUCTION = (
    "scikit-learn-compatible estimators for galaxy images: spin, structure, and joint posteriors in physical units."
)


def first_sentence(tree: nodes.document) -> str:
    """The first sentence of a page, or of the docstring on it; cards and tables are passed over."""
    plain = nodes.section, addnodes.desc_content
    paragraph = next((node for node in tree.findall(nodes.paragraph) if isinstance(node.parent, plain)), None)
    text = " ".join(paragraph.astext().split()) if paragraph else ""
    return text.partition(". ")[0].rstrip(".:")


def listed(env, page: str, depth: int = 0) -> list[str]:
    """A line for each page below `page`, indented by its depth."""
    lines = []
    for child in dict.fromkeys(env.toctree_includes.get(page, [])):
        title, sentence = env.titles[child].astext(), first_sentence(env.get_doctree(child))
        lines.append(f"{'  ' * depth}- [{title}]({child}.html): {sentence}")
        lines += listed(env, child, depth + 1)
    return lines


def write(app, exception) -> None:
    """Write the file beside the pages."""
    if exception is None and app.builder.format == "html":
        text = "\n".join([f"# {app.config.project}", "", f"> {INTRODUCTION}", "", "## Pages", ""])
        pages = "\n".join(listed(app.env, app.config.root_doc))
        Path(app.outdir, "llms.txt").write_text(f"{text}\n{pages}\n", encoding="utf-8")


def setup(app):
    """Called by Sphinx."""
    app.connect("build-finished", write)
    return {"parallel_read_safe": True}
