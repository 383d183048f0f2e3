"""What every token adds to a readout: its response, integrated between a reference image and an image.

For an embedding e of the tokens z that enter the last mixing of tokens, M[t] = integral over a in [0, 1] of
de/dz_t at r + a (z - r), times (z_t - r_t): integrated gradients (Sundararajan et al. 2017) of every dimension at once,
so that the rows of M sum to e(image) - e(reference). One backward pass per dimension would give it (Moeller et al.
2024, arXiv:2408.14153). Here it is one forward-mode product per node, for all tokens together: before attention a
block treats every token alone, so that one product gives the response of every query, key and value to its own token;
of the softmax the response is known in closed form; and behind it only the row that is read goes on, once per token.

No block is taken apart by name. The block runs as its library wrote it, with its attention caught: once over all tokens
to see queries, keys and values, once over copies of the one row with what attention gives put in. That a block is one
for which this holds is not assumed: what the copies give is compared with what the network gave.
"""

import importlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.autograd import forward_ad

from encoders._base import Encoder, EncoderError
from encoders.attention.intercept import Call, Handlers, Place, intercepted
from encoders.attention.reading import Layer, Reading, noise, reading, replaced, require_flat
from encoders.extraction.encode import collate
from encoders.extraction.hooks import first
from encoders.extraction.pooling import matrix
from encoders.extraction.readouts import CLS

with warnings.catch_warnings():  # what forward mode needs is compiled by torch with a compiler that it deprecates
    warnings.simplefilter("ignore", FutureWarning)
    importlib.import_module("torch._decomp.decompositions_for_jvp")

Tensor = torch.Tensor
FEW, MOST = 4, 64  # nodes
WITHIN = 0.002  # of the length of the embeddings' difference
COPIES = 2**25  # numbers of a pass over copies of all tokens: 128 MiB
EXACT = 1e-4  # relative to the embedding: what float32 leaves between a row alone and the whole network


@dataclass(frozen=True, kw_only=True, eq=False)
class Response:
    """The response [t, d] float64 of an embedding to each token, with `prefix` tokens of no place first.

    `embedding` and `reference` [d] are those of the two images, whose difference the rows sum to but for `error`, of
    the length of that difference. `nodes` is 0 where nothing was integrated. `tokens` says which tokens are meant.
    """

    values: np.ndarray
    embedding: np.ndarray
    reference: np.ndarray
    prefix: int
    grid: tuple[int, int]
    tokens: str
    nodes: int
    error: float


def response(
    encoder: Encoder,
    site: str,
    readout: str,
    image: Any,
    reference: Any,
    *,
    within: float = WITHIN,
    network: "Behind | None" = None,
) -> Response:
    """The response of a readout to the tokens of a prepared image, from a reference that is prepared alike.

    Of a mean over tokens at the site the tokens there, exactly; of CLS the tokens that enter the block behind which
    it is read; of a pooling head, or of a mean behind the last block, the tokens behind that block. Gauss-Legendre
    nodes, 4 at first, doubled to at most 64 until the rows sum to the difference of the embeddings within `within` of
    its length. `network` is what `behind` gave for an earlier image.

    Raises EncoderError as `behind` does.
    """
    network = network or behind(encoder, site, readout)
    if network is None:
        return _at_site(encoder, site, readout, image, reference)
    (z, embedding), (r, embedded_reference) = network.ends(image), network.ends(reference)
    due = embedding - embedded_reference
    nodes, values = FEW, network.integrated(z, r, FEW)
    while (error := _share(values, due)) > within and nodes < MOST:
        nodes *= 2
        values = network.integrated(z, r, nodes)
    layer = network.layer
    return Response(
        values=values,
        embedding=embedding,
        reference=embedded_reference,
        prefix=layer.prefix,
        grid=layer.grid,
        tokens=f"entering {layer.name}" if network.inside else f"behind {layer.name}",
        nodes=nodes,
        error=error,
    )


def behind(encoder: Encoder, site: str, readout: str) -> "Behind | None":
    """What lies behind the tokens whose responses are known, once for all images; None for a mean at its site.

    Raises EncoderError where the attention cannot be had (`reading`), for a pooling head of several queries, for an
    encoder in lower precision and, by its name, for a block in which tokens meet otherwise than in one attention.
    """
    name = encoder.card.name
    if encoder.dtype != "float32":
        raise EncoderError(f"{name} in {encoder.dtype}: responses are differences, use --dtype float32")
    of = require_flat(encoder, site, readout)
    if of.grid is not None and readout != CLS.name:
        return None
    read = reading(encoder, site, readout)
    alone = np.flatnonzero(read.weights)
    if len(read.weights) > 1 and read.head is not None:
        raise EncoderError(
            f"{name} at {site} reads by a pooling head of {len(read.weights)} queries: responses to single tokens are "
            "known here for one"
        )
    if read.head is None and len(alone) == 1 and alone[0] != 0:
        raise EncoderError(f"{name} at {site} reads one token that is not the first: its row is not run alone here")
    outputs: dict[str, Any] = {}
    with ExitStack() as stack:
        for layer in read.every:
            keep = layer.module.register_forward_hook(
                lambda _m, _given, out, layer=layer: outputs.update({layer.name: out})
            )
            stack.callback(keep.remove)
        with torch.no_grad():
            encoder.forward(noise(encoder), [site], grad=True)
    inside = read.head is None and len(alone) == 1
    found = Behind(encoder=encoder, site=site, read=read, inside=inside, batch=noise(encoder), outputs=outputs)
    found.check()
    return found


def legendre(nodes: int) -> list[tuple[float, float]]:
    """Gauss-Legendre nodes on [0, 1], each with its weight."""
    at, weights = np.polynomial.legendre.leggauss(nodes)
    return [(float(a + 1) / 2, float(w) / 2) for a, w in zip(at, weights, strict=True)]


def _share(values: np.ndarray, due: np.ndarray) -> float:
    """How far the rows are from summing to what is due, of its length."""
    missed, length = np.linalg.norm(values.sum(0) - due), np.linalg.norm(due)
    return float(missed / length) if length else float(missed > 0)


def _at_site(encoder: Encoder, site: str, readout: str, image: Any, reference: Any) -> Response:
    """A readout that is linear in the tokens of its site: nothing is integrated."""
    of = encoder.card.sites[site]
    assert of.grid is not None
    pool = matrix(of, readout).astype(np.float64)
    tokens = encoder.forward(collate([image, reference]), [site])[site].cpu().double().numpy()
    values = (pool.T[:, :, None] * (tokens[0] - tokens[1])[:, None, :]).reshape(len(tokens[0]), -1)
    embedding, embedded_reference = (pool @ tokens).reshape(2, -1)
    return Response(
        values=values,
        embedding=embedding,
        reference=embedded_reference,
        prefix=of.prefix,
        grid=(of.grid[0], of.grid[1]),
        tokens=f"at {site}",
        nodes=0,
        error=_share(values, embedding - embedded_reference),
    )


class _Enough(Exception):
    """What was wanted of a pass has been seen."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Seen:
    """Queries of what is read, keys and values at K nodes, and how each moves with its own token.

    q [K, h, 1, d], k and v [K, h, t, d]; dq is None for a query that is learnt. `bias` is that of the scores of q.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    dq: Tensor | None
    dk: Tensor
    dv: Tensor
    bias: Tensor | None
    scale: float

    def output(self) -> tuple[Tensor, Tensor]:
        """What attention gives [K, h, d], and its response [K, h, t, d] to each token.

        With a = softmax(z), z_t = s q.k_t, o = sum a_t v_t, a token's own key and value move o by
        a_t (dv_t + s (q.dk_t) (v_t - o)), and where the query is one of the tokens, by sum_t da_t v_t besides.
        """
        scores = self.scale * (self.k @ self.q.mT)
        if self.bias is not None:
            scores = scores + self.bias.mT
        a = torch.softmax(scores, 2)  # [K, h, t, 1]
        o = (a * self.v).sum(2, keepdim=True)
        moved = a * (self.dv + self.scale * (self.dk @ self.q.mT) * (self.v - o))
        if self.dq is not None:
            turned = self.scale * (self.k @ self.dq.mT)
            turned = a * (turned - (a * turned).sum(2, keepdim=True))
            moved[:, :, :1] += (turned * self.v).sum(2, keepdim=True)
        return o[:, :, 0], moved


@dataclass(frozen=True, kw_only=True, eq=False)
class Behind:
    """A network of which only what lies behind one layer's tokens is run, on tokens that are put there.

    With `inside` these are the tokens that enter the layer, and the first is read behind it. Otherwise they are those
    behind it, which the pooling head `read.head` reads or, without one, the site itself.
    """

    encoder: Encoder
    site: str
    read: Reading
    inside: bool
    batch: Any  # of one image: whatever it shows, its tokens are replaced
    outputs: Mapping[str, Any]  # of each block, for the shape of what it gives

    @property
    def layer(self) -> Layer:
        """The layer whose tokens are put in."""
        return self.read.blocks[-1]

    def ends(self, image: Any) -> tuple[Tensor, np.ndarray]:
        """The tokens [t, d] of a prepared image that are put in, and what the whole network reads of it [d]."""
        return self._ends(collate([image]))

    def _ends(self, batch: Any) -> tuple[Tensor, np.ndarray]:
        kept: dict[str, Tensor] = {}

        def before(_module: Any, args: Any, kwargs: Any) -> None:
            kept["tokens"] = _first_given(args, kwargs)

        def after(_module: Any, _args: Any, output: Any) -> None:
            kept["tokens"] = first(output)

        with ExitStack() as stack:
            module = self.layer.module
            if self.inside:
                stack.callback(module.register_forward_pre_hook(before, with_kwargs=True).remove)
            else:
                stack.callback(module.register_forward_hook(after).remove)
            with torch.no_grad():
                read = self.encoder.forward(batch, [self.site], grad=True)[self.site]
        return kept["tokens"][0].detach().clone(), read[0, 0].cpu().double().numpy()

    def check(self) -> None:
        """Refuse a layer that is not a block of one attention between functions of single tokens.

        What its one row gives must be what the whole network gave, and no key or value may move with another token
        than its own. Tried on an image of noise: it is a property of the network.
        """
        who = f"{self.encoder.card.name}: {self.layer.name} ({type(self.layer.module).__name__})"
        tokens, due = self._ends(self.batch)
        moving = torch.zeros_like(tokens)
        moving[len(tokens) // 2] = tokens[len(tokens) // 2]
        if self.attends:
            seen = self._seen(tokens[None], moving)
            others = torch.arange(len(tokens), device=tokens.device) != len(tokens) // 2
            if bool(seen.dk[:, :, others].any()) or bool(seen.dv[:, :, others].any()):
                raise EncoderError(f"{who} lets tokens meet before its attention: their single responses are not known")
        respond = self._responses if self.attends else self._direct
        got = respond(tokens[None], moving)[0][0].cpu().double().numpy()
        missed = np.linalg.norm(got - due) / max(np.linalg.norm(due), 1e-30)
        if not missed <= EXACT:
            raise EncoderError(f"{who} is no block whose one row can be run alone (it misses by {missed:.1e})")

    @property
    def attends(self) -> bool:
        """Whether attention stands between the tokens and what is read."""
        return self.inside or self.read.head is not None

    def integrated(self, z: Tensor, r: Tensor, nodes: int) -> np.ndarray:
        """The response [t, d] float64, integrated from r to z."""
        at = legendre(nodes)
        path = torch.stack([r + a * (z - r) for a, _ in at])
        respond = self._responses if self.attends else self._direct
        weights = np.array([w for _, w in at])
        return np.einsum("k,ktd->td", weights, respond(path, z - r)[1].cpu().double().numpy())

    def _responses(self, path: Tensor, moving: Tensor) -> tuple[Tensor, Tensor]:
        """What is read [K, d] of tokens [K, t, d], and its response [K, t, d] to each moving by itself."""
        seen = self._seen(path, moving)
        o, moved = seen.output()
        nodes, t = path.shape[:2]
        rows = path[:, :1].expand(nodes, t, -1).reshape(nodes * t, 1, -1)
        o = o[:, :, None].expand(nodes, -1, t, -1)
        values, slopes = (x.transpose(1, 2).flatten(0, 1)[:, :, None].contiguous() for x in (o, moved))

        def output(place: Place, _made: Callable[[], Call]) -> Tensor | None:
            return forward_ad.make_dual(values, slopes) if self._meant(place) else None

        with forward_ad.dual_level():
            if self.inside:
                own = torch.zeros_like(rows).unflatten(0, (nodes, t))
                own[:, 0, 0] = moving[0]
                rows = forward_ad.make_dual(rows.contiguous(), own.flatten(0, 1))
            read = forward_ad.unpack_dual(self._run(rows, Handlers(output=output)))
        return read.primal.unflatten(0, (nodes, t))[:, 0], _tangent(read).unflatten(0, (nodes, t))

    def _seen(self, path: Tensor, moving: Tensor) -> _Seen:
        """Queries, keys and values of tokens [K, t, d], each with its response to the move of its own token."""
        found: list[_Seen] = []

        def output(place: Place, made: Callable[[], Call]) -> Tensor | None:
            if not self._meant(place):
                return None
            call = made()
            q, k, v = (forward_ad.unpack_dual(x) for x in (call.q, call.k, call.v))
            bias = call.bias if call.bias is None or call.bias.ndim < 2 else call.bias[..., :1, :]
            found.append(
                _Seen(
                    q=q.primal[:, :, :1],
                    k=k.primal,
                    v=v.primal,
                    dq=_tangent(q)[:, :, :1] if self.inside else None,
                    dk=_tangent(k),
                    dv=_tangent(v),
                    bias=bias,
                    scale=call.scale,
                )
            )
            raise _Enough

        with forward_ad.dual_level(), suppress(_Enough):
            tokens = forward_ad.make_dual(path.contiguous(), moving.expand_as(path).contiguous())
            self._run(tokens, Handlers(output=output))
        if not found:
            raise EncoderError(
                f"{self.encoder.card.name}: {self.layer.name} ({type(self.layer.module).__name__}) multiplies queries "
                "and keys in code of its own, not by torch's attention: its single responses are not known"
            )
        return found[0]

    def _direct(self, path: Tensor, moving: Tensor) -> tuple[Tensor, Tensor]:
        """As `_responses` where no attention lies between: all tokens, once for each that moves."""
        nodes, t, width = path.shape
        values, slopes = [], []
        for node in path:
            for part in torch.arange(t, device=path.device).split(max(1, COPIES // (t * width))):
                move = torch.zeros(len(part), t, width, dtype=path.dtype, device=path.device)
                move[torch.arange(len(part)), part] = moving[part]
                with forward_ad.dual_level():
                    tokens = forward_ad.make_dual(node.expand_as(move).contiguous(), move)
                    read = forward_ad.unpack_dual(self._run(tokens, Handlers()))
                values.append(read.primal[:1])
                slopes.append(_tangent(read))
        return torch.stack(values)[:: len(values) // nodes, 0], torch.cat(slopes).unflatten(0, (nodes, t))

    def _meant(self, place: Place) -> bool:
        """Whether a call is the attention that is read by."""
        if self.inside:
            return place.block == len(self.read.blocks) - 1
        return place.block is None and place.outside == self.read.head

    def _run(self, tokens: Tensor, handlers: Handlers) -> Tensor:
        """What is read [n, d] of tokens [n, t, d] that are put in; no other block computes anything."""
        modules = [layer.module for layer in self.read.every]
        with self._put_in(tokens), intercepted(modules, handlers, begin=lambda: None):
            found = self.encoder.forward(self.batch, [self.site], grad=True)[self.site]
        return found.reshape(len(tokens), -1)

    @contextmanager
    def _put_in(self, tokens: Tensor) -> Iterator[None]:
        places = self.layer.grid[0] * self.layer.grid[1]

        def enter(_module: Any, args: Any, kwargs: Any) -> tuple[Any, Any]:
            if tokens.shape[1] == 1:  # positions of places that are not there
                args, kwargs = _without_places(args, places), _without_places(kwargs, places)
            return ((tokens, *args[1:]), kwargs) if args else (args, kwargs | {next(iter(kwargs)): tokens})

        with ExitStack() as stack:
            for layer in self.read.every:
                if layer is self.layer and self.inside:
                    handle = layer.module.register_forward_pre_hook(enter, with_kwargs=True)
                    stack.callback(handle.remove)
                    continue
                given = tokens if layer is self.layer else None
                stack.enter_context(_passing(layer.module, self.outputs[layer.name], given))
            yield


def _tangent(dual: Any) -> Tensor:
    return torch.zeros_like(dual.primal) if dual.tangent is None else dual.tangent


def _first_given(args: Any, kwargs: Any) -> Tensor:
    return args[0] if args else next(iter(kwargs.values()))


def _without_places(given: Any, places: int) -> Any:
    """Arguments without the rows of tensors that belong to places: rotary positions."""
    if isinstance(given, dict):
        return {name: _without_places(one, places) for name, one in given.items()}
    if isinstance(given, tuple | list):
        return type(given)(_without_places(one, places) for one in given)
    rows = isinstance(given, Tensor) and given.ndim >= 2 and given.shape[-2] == places
    return given[..., :0, :] if rows else given


@contextmanager
def _passing(module: torch.nn.Module, output: Any, tokens: Tensor | None) -> Iterator[None]:
    """The module gives back what it is given, or `tokens`, and computes nothing."""
    own = module.__dict__.get("forward")

    def forward(*args: Any, **kwargs: Any) -> Any:
        return replaced(output, _first_given(args, kwargs) if tokens is None else tokens)

    module.__dict__["forward"] = forward
    try:
        yield
    finally:
        if own is None:
            del module.__dict__["forward"]
        else:
            module.__dict__["forward"] = own
