"""Pages that are one HTML file, need nothing else and let nothing in: no script runs on them."""

import html
from collections.abc import Iterable

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
CSS = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#1a1a1a;background:#fff}
h1{font-size:1.35rem;margin:0 0 .3rem}h2{font-size:1.05rem;margin:2rem 0 .5rem}p{margin:.3rem 0;max-width:60rem}
.pairs{display:grid;grid-template-columns:repeat(auto-fill,minmax(21rem,1fr));gap:1rem}
figure{margin:0;padding:.6rem;border:1px solid #ddd;border-radius:6px}
.two{display:grid;grid-template-columns:1fr 1fr;gap:.4rem}
.two img,.none{width:100%;aspect-ratio:1;object-fit:contain;background:#000;display:block}
.none{display:grid;place-items:center;background:#eee;color:#666;font-size:.8rem}
figcaption{font-size:.82rem;margin-top:.4rem;overflow-wrap:anywhere}.n{color:#555}
b{font-variant-numeric:tabular-nums}
@media (prefers-color-scheme:dark){body{color:#e6e6e6;background:#161616}figure{border-color:#3a3a3a}
.n{color:#aaa}.none{background:#2a2a2a;color:#999}}
"""


def framed(title: str, parts: Iterable[str], css: str = "") -> str:
    """A page of a title and parts of HTML, under the policy; `css` comes behind the style of all pages."""
    name = html.escape(title)
    return "".join(
        [
            "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
            f"<meta http-equiv='Content-Security-Policy' content=\"{POLICY}\">",
            "<meta name='viewport' content='width=device-width,initial-scale=1'>",
            f"<title>{name}</title><style>{CSS}{css}</style></head><body><h1>{name}</h1>",
            *parts,
            "</body></html>\n",
        ]
    )
