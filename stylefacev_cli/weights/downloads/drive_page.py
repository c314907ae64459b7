"""Google Drive's page before large files."""

from __future__ import annotations

import html.parser
from urllib.parse import urlencode, urljoin

from stylefacev_cli.weights.downloads.failures import SourceError


class DownloadForm(html.parser.HTMLParser):
    """The form of Google Drive's "cannot scan this file for viruses" page."""

    def __init__(self, url: str, page: str) -> None:
        super().__init__()
        self._action: str | None = None
        self._fields: dict[str, str] = {}
        self._is_inside = False
        self.feed(page)
        self._url = url
        self._is_quota = "quota" in page.lower()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the form's address and its hidden fields."""
        values = {key: value or "" for key, value in attrs}
        if tag == "form" and values.get("id") == "download-form":
            self._action, self._is_inside = values.get("action", ""), True
        elif tag == "input" and self._is_inside and values.get("name"):
            self._fields[values["name"]] = values.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        """Leave the form."""
        self._is_inside = self._is_inside and tag != "form"

    def address(self) -> str:
        """Where the form leads.

        Raises:
            SourceError: there is no such form: the file is gone, or was fetched too often.
        """
        if self._action is None:
            reason = "too many people fetched it today" if self._is_quota else "the file is gone"
            raise SourceError(f"shows a page without a download ({reason})")
        query = urlencode(self._fields)
        address = urljoin(self._url, self._action)
        return f"{address}{'&' if '?' in address else '?'}{query}" if query else address
