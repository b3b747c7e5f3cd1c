"""The directive ``thumbnail``: a small copy of a figure that the code of another page drew.

    ```{thumbnail} notebooks/spin
    :figure: 2
    ```

Figures are counted from 0. Where notebooks are not executed there is no picture.
"""

from pathlib import Path

from docutils import nodes
from PIL import Image
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

SIZE = (480, 320)  # pixels at most: twice what a card shows


class thumbnail(nodes.General, nodes.Element):
    """A picture of figure number `figure` of `page`."""


class Thumbnail(SphinxDirective):
    """Put a `thumbnail` where the directive stands."""

    required_arguments = 1
    option_spec = {"figure": int}

    def run(self):
        """Called by docutils."""
        return [thumbnail("", page=self.arguments[0], figure=self.options.get("figure", 0))]


def drawn_figures(env, page: str) -> list[Path]:
    """The files of the figures that a page's code drew, in their order."""
    cells = (node for node in env.get_doctree(page).findall(nodes.container) if "cell_output" in node["classes"])
    return [Path(env.srcdir, image["uri"]) for cell in cells for image in cell.findall(nodes.image)]


def shrink(source: Path, target: Path) -> tuple[int, int]:
    """Write a small copy of a picture; its width and height."""
    with Image.open(source) as picture:
        small = picture.convert("RGB")
    small.thumbnail(SIZE)
    target.parent.mkdir(exist_ok=True)
    small.save(target, quality=80)
    return small.size


def visit(self, node):
    """Write the small file, and an element that shows it; the text beside it says what it is of."""
    builder, page, number = self.builder, node["page"], node["figure"]
    if figures := drawn_figures(builder.env, page):
        if number >= len(figures):
            raise ExtensionError(f"thumbnail of {page}: figure {number} of {len(figures)}, counted from 0.")
        name = f"thumbnail-{page.replace('/', '-')}-{number}.webp"
        width, height = shrink(figures[number], Path(builder.outdir, builder.imagedir, name))
        self.body.append(
            f'<img class="thumbnail" src="{builder.imgpath}/{name}" alt="" width="{width}" height="{height}">'
        )
    raise nodes.SkipNode


def setup(app):
    """Called by Sphinx."""
    app.add_node(thumbnail, html=(visit, None))
    app.add_directive("thumbnail", Thumbnail)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
