"""Warn of links of the site that lead nowhere on it; with ``-W`` the build fails."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sphinx.util import logging

THEME_TEMPLATE = "_static/webpack-macros.html"  # pydata-sphinx-theme copies it among its files; it is no page


class Page(HTMLParser):
    """Where a page links to, and the anchors on it."""

    def __init__(self, path: Path):
        super().__init__()
        self.path = path
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        """Called for each element."""
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.append(value)
            elif name == "id":
                self.anchors.add(value)


def broken(folder: Path) -> list[tuple[Path, str]]:
    """Pages in `folder`, and their links to files or anchors that are not there."""
    pages = {path: Page(path) for path in folder.resolve().rglob("*.html")}
    return [
        (page.path, link) for page in pages.values() for link in page.links if not leads_somewhere(page, link, pages)
    ]


def leads_somewhere(page: Page, link: str, pages: dict[Path, Page]) -> bool:
    """Whether a link of a page leads off the site, or to a file and an anchor that exist."""
    address = urlsplit(link)
    if address.scheme or address.netloc:
        return True
    target = (page.path.parent / unquote(address.path)).resolve() if address.path else page.path
    anchor = unquote(address.fragment)
    return target.exists() and (not anchor or target not in pages or anchor in pages[target].anchors)


def check(app, exception) -> None:
    """Warn of each broken link, once all is written."""
    if exception is None and app.builder.format == "html":
        Path(app.outdir, THEME_TEMPLATE).unlink(missing_ok=True)
        for page, link in broken(Path(app.outdir)):
            logging.getLogger(__name__).warning(
                "%s: link that leads nowhere: %s", page.name, link, type="internal_links"
            )


def setup(app):
    """Called by Sphinx."""
    app.connect("build-finished", check, priority=900)  # after whatever else writes files
    return {"parallel_read_safe": True}
