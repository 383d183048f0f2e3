"""One self-contained page: linked maps with a brush, menus for colours and classes, and images on hover.

The specification is made by Altair and drawn by Vega on a canvas. Expressions are interpreted (`ast`), so that the page
works under a policy without `unsafe-eval`, from a file, without a network and without WebGPU. Scripts run by their
hashes alone: a label that holds a script is text. Altair's own export executes it (`</script>` in a label).
"""

import base64
import hashlib
import html as markup
import io
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from slitlamp.embedding.colours import Colouring
from slitlamp.embedding.figures import GREY, NEAR, held_out_axis, looks_of, printable
from slitlamp.embedding.looked import TITLES, Looked, by_strength
from slitlamp.embedding.moved import Moved, answer_of
from slitlamp.embedding.settings import MapSettings
from slitlamp.embedding.words import number, plain, score
from slitlamp.pairs.gallery import thumbnail
from slitlamp.questions import Question
from slitlamp.reports.plots import COLOURS

POINTS, IMAGES = 20_000, 5_000  # that the page draws, and that carry a thumbnail
SHAPED = 5_000  # points up to which classes have shapes too, and the brush follows the pointer
SIDE, PANEL = 64, 290  # pixels of a thumbnail, and of a map
TOLD = 10  # colourings that hovering tells
PARTS = 5  # of a number, each with a colour
VIRIDIS = ("#440154", "#3B528B", "#21918C", "#5EC962", "#FDE725")
SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "circle")  # as in the figures
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {hashes}"
CSS = """
body{font:15px/1.45 system-ui,sans-serif;margin:1.5rem auto;max-width:78rem;padding:0 1rem}
body{color:#1a1a1a;background:#fff}
h1{font-size:1.35rem;margin:0 0 .3rem}h2{font-size:1.05rem;margin:1.6rem 0 .4rem}p,li{margin:.25rem 0;max-width:62rem}
h1,h2,p,li,td,caption{overflow-wrap:anywhere}
ul{padding-left:1.1rem}.vega-bindings{margin:.6rem 0;display:flex;flex-wrap:wrap;gap:.4rem 1.4rem}
.vega-bind-name{margin-right:.4rem}select{max-width:24rem;font:inherit}#maps{overflow-x:auto;min-height:20rem}#maps.vega-embed{display:flex;flex-direction:column;align-items:flex-start}
#maps canvas{max-width:none;flex:none}
.vega-bindings{order:-1}caption{text-align:left;font-weight:600;padding:.5rem 0 .2rem}
#tip{position:fixed;z-index:9;display:none;background:#fff;border:1px solid #999;border-radius:4px;padding:.4rem .5rem;
font-size:.8rem;max-width:20rem;pointer-events:none;overflow-wrap:anywhere;box-shadow:0 1px 5px #0004}
#tip img{display:block;width:128px;height:128px;object-fit:contain;background:#000;margin-bottom:.3rem}
#tip div{display:flex;gap:.5rem}#tip b{font-weight:400;color:#666}
table{border-collapse:collapse;font-size:.82rem}
td,th{text-align:left;padding:.15rem .7rem .15rem 0;border-bottom:1px solid #ddd}
td{font-variant-numeric:tabular-nums}.wide{overflow-x:auto}
.moved{display:grid;grid-template-columns:repeat(7,auto) 1fr;gap:.35rem .4rem;align-items:end;font-size:.75rem}
.moved img,.none{width:72px;height:72px;object-fit:contain;background:#000;display:block}
.none{background:#eee}.moved .from{margin-left:.6rem}figure{margin:0;max-width:90px;overflow-wrap:anywhere}
"""
SCRIPT = """
const read = id => JSON.parse(document.getElementById(id).textContent);
const spec = read('spec'), items = read('items'), tip = document.getElementById('tip');
const line = (name, value) => {
  const row = document.createElement('div'), head = document.createElement('b');
  head.textContent = name; row.append(head, document.createTextNode(value)); return row;
};
const hover = (handler, event, item, value) => {
  if (value === null || value === undefined || value === '') { tip.style.display = 'none'; return; }
  const one = items.rows[value];
  tip.replaceChildren();
  if (items.images[value]) {
    const image = document.createElement('img');
    image.src = 'data:image/webp;base64,' + items.images[value]; image.alt = one[0]; tip.append(image);
  }
  items.names.forEach((name, k) => { if (one[k] !== '') tip.append(line(name, one[k])); });
  tip.style.display = 'block';
  tip.style.left = Math.max(4, Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)) + 'px';
  tip.style.top = Math.max(4, Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8)) + 'px';
};
vegaEmbed('#maps', spec, {ast: true, renderer: 'canvas', actions: false, tooltip: hover}).then(
  result => {
    window.view = result.view; document.body.dataset.drawn = 'yes';
    view.addSignalListener('by', () => setTimeout(() => view.resize().runAsync()));  // room for another legend
  },
  error => { document.getElementById('maps').textContent = 'The maps cannot be drawn: ' + error; });
"""


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """What the page shows."""

    question: Question
    looked: Sequence[Looked]
    colourings: Sequence[Colouring]
    moved: Sequence[Moved]
    sentences: Sequence[str]
    notes: Sequence[str]
    visible: bool
    own: MapSettings
    seed: int
    command: str


def html(view: View) -> str:
    """The page, the same bytes at every run of the same command."""
    import vl_convert

    n = len(view.question.ids)
    drawn = sample(view.question, n, POINTS, view.seed)
    pictured = set(sample(view.question, n, IMAGES, view.seed).tolist() if view.visible else ())
    bundle = vl_convert.javascript_bundle()  # type: ignore[call-arg]
    bundle = bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--")
    policy = POLICY.format(hashes=" ".join(f"'sha256-{_sha(text)}'" for text in (bundle, SCRIPT)))
    title = f"Maps of {', '.join(dict.fromkeys(one.encoder.label for one in view.looked))}: {view.question.name}"
    said = list(view.notes)
    if len(drawn) < n:
        said.append(f"{len(drawn):,} of {n:,} points are drawn here, drawn by the seed in equal shares of every answer")
    if view.visible and len(pictured) < len(drawn):
        said.append(f"{len(pictured):,} of {len(drawn):,} points show their image on hover, chosen in the same way")
    if not view.visible:
        said.append("Your own images are not shown; --thumbnails shows them.")
    items = {
        "names": _names(view), "rows": _rows(view, drawn),
        "images": [_image(view.question, int(k)) if int(k) in pictured else "" for k in drawn],
    }  # fmt: skip
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        "<meta name='viewport' content='width=device-width,initial-scale=1'>",
        f"<title>{_text(title)}</title><style>{CSS}</style></head><body><h1>{_text(title)}</h1>",
        "<p>Drag over a map to select: the same images are lit in every map. Click beside the selection to end it.</p>",
        "<div id='maps' role='img' aria-label='Linked maps; the numbers stand in the tables below'></div>",
        "<div id='tip'></div><h2>What this says</h2><ul>",
        *(f"<li>{_text(line)}</li>" for line in view.sentences), "</ul>",
        *map(_moved, view.moved, [view] * len(view.moved)),
        _tables(view),
        "<h2>Notes</h2><ul>", *(f"<li>{_text(line)}</li>" for line in said), "</ul>",
        f"<p>To repeat: <code>{_text(view.command)}</code></p>",
        f"<script type='application/json' id='spec'>{_json(specification(view, drawn))}</script>",
        f"<script type='application/json' id='items'>{_json(items)}</script>",
        f"<script>{bundle}</script><script>{SCRIPT}</script></body></html>\n",
    ]  # fmt: skip
    return "".join(parts)


def _sha(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _json(value: Any) -> str:
    """JSON that ends no script and holds no line end of JavaScript."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _text(text: str) -> str:
    return markup.escape(printable(text, 2000))


def sample(question: Question, n: int, most: int, seed: int) -> np.ndarray:
    """At most so many places, drawn by the seed in equal shares of every answer, in their order."""
    if n <= most:
        return np.arange(n)
    y = question.y if question.classes is not None else _parts(question.y)[0]
    order = np.random.default_rng([seed, n, 79]).permutation(n)
    turn = np.empty(n)
    for code in np.unique(y):
        mine = order[y[order] == code]
        turn[mine] = (np.arange(len(mine)) + 0.5) / len(mine)
    return np.sort(np.lexsort((order, turn))[:most])


def _parts(values: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Numbers in at most five parts of equal counts, [n] with the number of parts where unknown, and their names."""
    known = np.isfinite(values)
    edges = np.unique(np.quantile(values[known], np.linspace(0, 1, PARTS + 1)))
    code = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, max(len(edges) - 2, 0))
    names = [f"{plain(a)} to {plain(b)}" for a, b in pairwise(edges)] or [plain(edges[0])]
    used = np.unique(code[known])
    return np.where(known, np.searchsorted(used, code), len(used)), [names[k] for k in used]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Coded:
    """A colouring as the page has it: a number for each item, and name, colour and shape of each number."""

    codes: np.ndarray
    names: Sequence[str]
    colours: Sequence[str]
    shapes: Sequence[str]


def _coded(colouring: Colouring, drawn: np.ndarray) -> _Coded:
    if colouring.classes is None:
        codes, names = _parts(colouring.values)
        colours = [VIRIDIS[round(k * (PARTS - 1) / max(len(names) - 1, 1))] for k in range(len(names))]
        shapes = [SHAPES[0]] * len(names)
        rest = "not known"
    else:
        looks = looks_of(colouring)
        place = {code: k for k, code in enumerate(looks)}
        codes = np.array([place.get(int(v), len(looks)) for v in colouring.values])
        names = [printable(name, 40) for _, _, name in looks.values()]
        colours, shapes = list(COLOURS[: len(names)]), list(SHAPES[: len(names)])
        rest = "another"
    codes = codes[drawn]
    names, colours, shapes = [*names, rest], [*colours, GREY], [*shapes, SHAPES[-1]]
    used = np.unique(codes)  # numbers without a gap, so that each finds its colour
    return _Coded(
        codes=np.searchsorted(used, codes), names=[names[k] for k in used], colours=[colours[k] for k in used],
        shapes=[shapes[k] for k in used],
    )  # fmt: skip


def specification(view: View, drawn: np.ndarray) -> dict[str, Any]:
    """The Vega-Lite specification of the linked maps."""
    import altair as alt

    coded = [_coded(one, drawn) for one in view.colourings]
    most = max(len(one.names) for one in coded)
    menu = [(1000 * j + k, f"{printable(c.name, 30)}: {name}") for j, c in enumerate(view.colourings)
            for k, name in enumerate(coded[j].names)]  # fmt: skip
    shown = [printable(c.name, 40) for c in view.colourings]
    params = [
        alt.param(name="by", value=0,
                  bind=alt.binding_select(options=list(range(len(coded))), labels=shown, name="colour by ")),
        alt.param(name="lit", value=-1, bind=alt.binding_select(
            options=[-1, *(k for k, _ in menu)], labels=["all", *(name for _, name in menu)], name="show ")),
        alt.param(name="names", value=[list(one.names) for one in coded]),
        alt.param(name="colours", value=[list(one.colours) for one in coded]),
        alt.param(name="shapes", value=[list(one.shapes) for one in coded]),
    ]  # fmt: skip
    few = len(drawn) <= SHAPED
    pause = "" if few else "{250}"  # ms: of many points those that are lit are looked for less often
    brush = alt.selection_interval(name="brush", on=f"[pointerdown, window:pointerup] > window:pointermove!{pause}")
    legend = alt.Legend(title=None, labelExpr="names[by][datum.value]", symbolOpacity=1, labelLimit=260)
    chosen = "lit < 0 || datum.c[floor(lit / 1000)] == lit % 1000"
    colour = (
        alt.when(brush & (alt.datum.on == True))  # noqa: E712 - an expression of Vega
        .then(
            alt.Color(
                "d:N", legend=legend,
                scale=alt.Scale(range=[alt.ExprRef(f"colours[by][{k}] || '{GREY}'") for k in range(most)]),
            )
        )
        .otherwise(alt.value("#DDDDDD"))
    )  # fmt: skip
    charts, number_of = [], 0
    rows = [{"i": k, "c": [int(one.codes[k]) for one in coded]} for k in range(len(drawn))]
    for one in view.looked:
        for name, xy in {**one.maps, "probe": one.view}.items():
            low, high = xy.min(axis=0), xy.max(axis=0)
            for k, (x, y) in enumerate(xy[drawn]):
                rows[k] |= {f"x{number_of}": float(f"{x:.5g}"), f"y{number_of}": float(f"{y:.5g}")}
            room = np.maximum(0.04 * (high - low), 1e-9)
            ends = [[float(f"{low[a] - room[a]:.6g}"), float(f"{high[a] + room[a]:.6g}")] for a in (0, 1)]
            shape: dict[str, Any] = {}
            if few:
                marks = alt.Scale(range=[alt.ExprRef(f"shapes[by][{k}] || 'circle'") for k in range(most)])
                shape = {"shape": alt.Shape("d:N", scale=marks, legend=legend)}
            names = (held_out_axis(view.question.classes), "first component beside it") if name == "probe" else ("", "")
            x_axis, y_axis = (alt.Axis(labels=False, ticks=False, grid=False, title=text or None) for text in names)
            charts.append(
                alt.Chart(width=PANEL, height=PANEL, title=_title(one, name))
                .mark_point(filled=True, size=float(np.clip(40_000 / len(drawn), 6, 40)), opacity=0.85)
                .transform_calculate(d="datum.c[by]", on=chosen)
                .encode(
                    x=alt.X(f"x{number_of}:Q", scale=alt.Scale(domain=ends[0], nice=False, zero=False), axis=x_axis),
                    y=alt.Y(f"y{number_of}:Q", scale=alt.Scale(domain=ends[1], nice=False, zero=False), axis=y_axis),
                    color=colour, tooltip=alt.Tooltip("i:Q"), **shape,
                )
                .add_params(brush)
            )  # fmt: skip
            number_of += 1
    columns = len(charts) // len(view.looked)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Automatically deduplicated")  # one brush over all maps is meant
        whole = alt.concat(*charts, columns=columns, data=alt.Data(values=[]), spacing=24).add_params(*params)
        found = (
            whole.configure(font="system-ui, sans-serif").configure_view(stroke="#999")
            .configure_title(anchor="start", fontSize=12, subtitleFontSize=11, subtitleColor="#444")
            .configure_axis(titleFontWeight="normal")
            .to_dict()
        )  # fmt: skip
    found["data"] = {"values": rows}
    found["description"] = "Linked maps of the same images; the numbers stand in the tables of the page."
    return found


def _title(one: Looked, name: str) -> Any:
    import altair as alt

    if name == "probe":
        e = one.measurement.estimate
        ends = "" if e.low is None else f" [{number(e.low)}, {number(e.high)}]"
        below = [f"{e.metric} {number(e.score)}{ends}", f"chance {number(e.chance)}"]
    else:
        t = one.trusts[name]
        below = [
            f"trustworthiness {number(t.trustworthiness)}, continuity {number(t.continuity)}",
            f"neighbours kept {number(t.preserved)} (chance {number(t.chance)})",
        ]
    return alt.TitleParams(text=f"{TITLES[name]}: {printable(one.name, 40)}", subtitle=below)


def _names(view: View) -> list[str]:
    return ["image", "row", *(printable(one.name, 40) for one in view.colourings[:TOLD])]


def _rows(view: View, drawn: np.ndarray) -> list[list[str]]:
    """What hovering says of each item, in the order of `_names`."""
    question = view.question
    places = {row.id: row.place for row in question.source.rows}
    found = []
    for k in drawn.tolist():
        name = question.ids[k]
        place = places.get(name) or places.get(name.rpartition(":")[0], "")
        values = []
        for one in view.colourings[:TOLD]:
            if not one.known[k]:
                values.append("")
            elif one.classes is None:
                values.append(plain(float(one.values[k])))
            else:
                values.append(printable(one.classes[int(one.values[k])]))
        found.append([printable(name), place.removeprefix("row "), *values])
    return found


def _image(question: Question, k: int) -> str:
    """A small picture of an item as base64 of WebP."""
    from PIL import Image

    held = io.BytesIO()
    Image.fromarray(thumbnail(question.pictures.read(k), SIDE)).save(held, format="WEBP", quality=50, method=4)
    return base64.b64encode(held.getvalue()).decode()


def _moved(pair: Moved, view: View) -> str:
    """The items whose neighbours changed most, each with its nearest neighbours at both points."""
    if not view.own.moved or not len(pair.order):
        return ""
    a, b = printable(pair.first.name), printable(pair.second.name)
    parts = [
        f"<h2>{_text(f'Whose neighbours changed most from {a} to {b}')}</h2><p>",
        _text(f"Counted among the {pair.first.places.shape[1]} nearest in the features, not in the maps. Left the "
              f"image, then its {NEAR} nearest in {a}, then in {b}."),
        "</p><div class='moved'>",
    ]  # fmt: skip
    for k in pair.order[: view.own.moved].tolist():
        near = [k, *pair.first.places[k, :NEAR].tolist(), *pair.second.places[k, :NEAR].tolist()]
        for place, item in enumerate(near):
            picture = "<div class='none'></div>"
            if view.visible:
                alt = markup.escape(printable(view.question.ids[item]), quote=True)
                picture = f"<img alt='{alt}' src='data:image/webp;base64,{_image(view.question, item)}'>"
            kind = " class='from'" if place in (1, 1 + NEAR) else ""
            said = _text(printable(answer_of(view.question, item), 24))
            parts.append(f"<figure{kind}>{picture}<figcaption>{said}</figcaption></figure>")
        words = f"{view.question.ids[k]}: {pair.shared[k]:.0%} of the neighbours stayed"
        parts.append(f"<span>{_text(words)}</span>")
    return "".join([*parts, "</div>"])


def _tables(view: View) -> str:
    """What each colouring is worth, at every point."""
    parts = ["<h2>What the colours are worth</h2>"]
    for one in view.looked:
        heads = ["colour", *(f"in the {TITLES[name]}" for name in one.maps), "in the features", "reading"]
        rows = []
        for s in by_strength(one.seen):
            held = "" if s.original is None else score(s.original)
            rows.append([s.colouring.name, *(score(a, chance=False) for a in s.maps.values()), held, s.reading()])
        head = "".join(f"<th>{_text(text)}</th>" for text in heads)
        body = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows)
        parts.append(
            f"<div class='wide'><table><caption>{_text(one.name)}</caption><tr>{head}</tr>{body}</table></div>"
        )
    return "".join(parts)
