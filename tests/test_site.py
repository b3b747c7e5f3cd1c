"""What the site's own extensions of Sphinx make of pages."""

import importlib.util
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from docutils.core import publish_doctree
from PIL import Image

ROOT = Path(__file__).parents[1]


def extension(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "_extensions" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def equations():
    """All equations of docstrings and of the page that collects them."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "galestim").rglob("*.py"))
    found = re.findall(r":math:`([^`]+)`", text) + re.findall(r"\.\. math:: (.+)", text)
    page = (ROOT / "docs" / "guide" / "science.md").read_text(encoding="utf-8")
    return found + re.findall(r"\$\$(.+?)\$\$", page, re.DOTALL) + re.findall(r"(?<!\$)\$([^$\n]+)\$(?!\$)", page)


def test_every_equation_becomes_mathml():
    mathml = extension("mathml").mathml
    assert len(equations()) > 40
    for source in equations():
        markup = mathml(source, as_block=True).replace("&ApplyFunction;", "")  # of HTML, unknown to XML
        root = ElementTree.fromstring(markup)
        assert root.tag.endswith("math")
        assert "".join(root.itertext()).strip()


def test_signs_are_as_in_latex():
    mathml = extension("mathml").mathml
    assert mathml("∂I / ∂θ", as_block=False) == mathml(r"\partial I / \partial \theta", as_block=False)
    with pytest.raises(Exception, match="nothing"):
        mathml(r"\nothing", as_block=False)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("Title\n=====\n\nFirst one. Second one.", "First one"),
        ("Title\n=====\n\n+---+\n| a |\n+---+\n\nAfter a table:\n\n- item", "After a table"),
        ("Title\n=====\n\n- item", ""),
    ],
)
def test_llms_txt_takes_the_first_sentence_of_the_text(source, sentence):
    tree = publish_doctree(source, settings_overrides={"doctitle_xform": False})
    assert extension("llms_txt").first_sentence(tree) == sentence


def test_links_that_lead_nowhere_are_found(tmp_path):
    good = '<a href="b.html#here">x</a> <a href="https://example.org/none">x</a> <a href="#top" id="top">x</a>'
    (tmp_path / "a.html").write_text(good)
    (tmp_path / "b.html").write_text(
        '<p id="here"></p> <a href="c.html">x</a> <a href="a.html#there">x</a> <img src="d.png">'
    )
    found = extension("internal_links").broken(tmp_path)
    assert [link for _, link in found] == ["c.html", "a.html#there", "d.png"]
    assert {path.name for path, _ in found} == {"b.html"}


def test_thumbnails_are_small_and_keep_their_shape(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (600, 1800, 4), np.uint8)
    Image.fromarray(noise).save(tmp_path / "figure.png")
    assert extension("thumbnails").shrink(tmp_path / "figure.png", tmp_path / "images" / "small.webp") == (480, 160)
    assert (tmp_path / "images" / "small.webp").stat().st_size < 30_000
