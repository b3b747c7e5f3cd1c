"""Equations as MathML, which browsers draw themselves: no script, no font and no other host is asked for."""

from docutils import nodes
from docutils.utils.math import latex2mathml, unichar2tex

SIGNS = unichar2tex.uni2tex_table | {ord("°"): r"^\circ", ord("½"): r"\frac{1}{2} "}  # as docstrings write them


def mathml(source: str, as_block: bool) -> str:
    """The element of an equation in LaTeX, which may have signs such as ∂ in it."""
    return latex2mathml.tex2mathml(source.translate(SIGNS), as_block=as_block)


def visit_inline(self, node):
    """Write an equation within a line."""
    self.body.append(mathml(node.astext(), as_block=False))
    raise nodes.SkipNode


def visit_block(self, node):
    """Write an equation of its own line."""
    self.body.append(f'<div class="equation" tabindex="0">{mathml(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app):
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True}
