"""What the tests of browsers share: a small site, and reading a page's text."""

HOME = """<title>Home</title><h1>Home</h1>
<a href="/next">Next</a> <a href="/next" target="_blank">In a tab</a>
<a href="http://elsewhere.test/">Elsewhere</a>"""
NEXT = "<title>Next</title><p>The next page.</p><button onclick='window.close()'>Close</button>"
NEVER = {"text": "never to be read"}


def labels(text: str) -> dict[str, str]:
    """Return the labels of the elements by their names."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        label, _, rest = line.strip().partition("] ")
        if label.startswith("[") and '"' in rest:
            found[rest.split('"')[1]] = label[1:]
    return found
