"""Where the heavy linear algebra of the probes is computed: NumPy on the processor, or torch in float64 on a device.

Both take and give NumPy arrays, so that a solver does not know where its products are made. What is drawn is drawn by
NumPy, and what is small stays there. `on(device)` says for a block of code which of them `current()` is.
"""

import contextlib
import weakref
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import numpy as np

HOST = "cpu"
PRECISION = "float64"  # of all that torch computes: a float32 Gram matrix has noise that passes for signal
TORCH_ON_HOST = "torch-cpu"  # the code of a GPU without one: what another device's numbers are held against


class DeviceError(Exception):
    """A device is not there, has no float64, or too little memory; the message is one line for the user."""


class Host:
    """NumPy and LAPACK on the processor."""

    device = HOST

    def keep(self, *arrays: np.ndarray) -> None:
        """Announce arrays that many products share, and that nobody changes; here they lie where they are needed."""

    def product(
        self, a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None, *, turned: bool = False
    ) -> np.ndarray:
        """The product a b of arrays [..., m, k] and [..., k, n], of b' [..., n, k] where `turned`."""
        return np.matmul(a, np.swapaxes(b, -1, -2) if turned else b, out=out)

    def gram(self, x: np.ndarray) -> np.ndarray:
        """X'x [d, d] of x [n, d]."""
        return x.T @ x

    def eigh(self, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues [n], ascending, and eigenvectors [n, n] as columns of a symmetric float64 matrix."""
        import scipy.linalg

        return scipy.linalg.eigh(a, check_finite=False, driver="evd")

    def solved(self, block: np.ndarray, right: np.ndarray) -> np.ndarray:
        """block^-1 right, of a symmetric positive definite float64 block, which may be overwritten."""
        import scipy.linalg

        factor = scipy.linalg.cho_factor(block, overwrite_a=True, check_finite=False)
        return scipy.linalg.cho_solve(factor, right, check_finite=False)

    def inverse(self, block: np.ndarray) -> np.ndarray:
        """block^-1 of a float64 matrix."""
        return np.linalg.inv(block)

    def inverse_definite(self, block: np.ndarray) -> np.ndarray:
        """block^-1 of a symmetric positive definite float64 matrix."""
        from scipy.linalg.lapack import dpotrf, dpotri

        factor, failed = dpotrf(block, lower=1)
        found, wrong = dpotri(factor, lower=1)
        assert not failed, "what is left without a fold is positive definite"
        assert not wrong, "what is left without a fold is positive definite"
        lower = np.tril(found)
        return lower + np.tril(found, -1).T


class Torch(Host):
    """The same by torch, in float64 whatever the precision of the arrays; results have that of the arrays.

    Arrays that are kept lie on the device for as long as they live here.

    Raises:
        DeviceError: the device's memory does not hold what is computed.
    """

    def __init__(self, device: str, name: str | None = None) -> None:
        self.device, self._on = name or device, device
        self._kept: dict[int, tuple[weakref.ref[np.ndarray], Any]] = {}

    def keep(self, *arrays: np.ndarray) -> None:
        """Lay arrays on the device; what they hold must not change while they live."""
        for array in arrays:
            if id(array) not in self._kept:
                import torch

                kept, key = self._kept, id(array)
                with self._memory("features", array.shape):
                    # a copy: what shared the memory of an array would keep it alive
                    there = torch.tensor(array, dtype=getattr(torch, PRECISION), device=self._on)
                kept[key] = weakref.ref(array, lambda _, kept=kept, key=key: kept.pop(key, None)), there

    def product(
        self, a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None, *, turned: bool = False
    ) -> np.ndarray:
        """As `Host.product`."""
        with self._memory("a product", a.shape, b.shape):
            import torch

            right = self._there(b)
            found = torch.matmul(self._there(a), right.transpose(-1, -2) if turned else right)
            made = self._here(found, np.result_type(a, b))
        if out is None:
            return made
        out[...] = made
        return out

    def gram(self, x: np.ndarray) -> np.ndarray:
        """As `Host.gram`."""
        with self._memory("a Gram matrix", x.shape):
            there = self._there(x)
            return self._here(there.T @ there, x.dtype)

    def eigh(self, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `Host.eigh`; the signs of the vectors may be others."""
        with self._memory("a decomposition", a.shape):
            import torch

            w, v = torch.linalg.eigh(self._there(a))
            return self._here(w, a.dtype), self._here(v, a.dtype)

    def solved(self, block: np.ndarray, right: np.ndarray) -> np.ndarray:
        """As `Host.solved`."""
        with self._memory("a solution", block.shape, right.shape):
            import torch

            factor = torch.linalg.cholesky(self._there(block))
            return self._here(torch.cholesky_solve(self._there(right), factor), block.dtype)

    def inverse(self, block: np.ndarray) -> np.ndarray:
        """As `Host.inverse`."""
        with self._memory("an inverse", block.shape):
            import torch

            return self._here(torch.linalg.inv(self._there(block)), block.dtype)

    def inverse_definite(self, block: np.ndarray) -> np.ndarray:
        """As `Host.inverse_definite`."""
        with self._memory("an inverse", block.shape):
            import torch

            return self._here(torch.cholesky_inverse(torch.linalg.cholesky(self._there(block))), block.dtype)

    def _there(self, array: np.ndarray) -> Any:
        import torch

        known = self._kept.get(id(array))
        if known is not None and known[0]() is array:
            return known[1]
        # a transfer takes as long as it has bytes: they are widened where they arrive
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._on).to(getattr(torch, PRECISION))

    def _here(self, found: Any, dtype: np.dtype) -> np.ndarray:
        import torch

        narrow = found.to(torch.float32) if dtype == np.float32 else found
        return narrow.cpu().numpy().astype(dtype, copy=False)

    @contextlib.contextmanager
    def _memory(self, what: str, *shapes: tuple[int, ...]) -> Iterator[None]:
        import torch

        try:
            yield
        except torch.OutOfMemoryError as error:
            sizes = " and ".join(" x ".join(map(str, shape)) for shape in shapes)
            raise DeviceError(
                f"{self.device} has too little memory for {what} of {sizes} in the probe; fewer --jobs share it with "
                "fewer, and --probe-device cpu needs none of it"
            ) from error


_CURRENT: ContextVar[Host] = ContextVar("algebra", default=Host())  # noqa: B039  it has no state


def current() -> Host:
    """Where the algebra of this block of code is computed; on the processor unless `on` says otherwise."""
    return _CURRENT.get()


@contextlib.contextmanager
def on(device: str) -> Iterator[Host]:
    """Compute the algebra inside on `device`: "cpu" by NumPy, "torch-cpu", "cuda" or "cuda:0" by torch in float64.

    Raises:
        DeviceError: the device is not known, is not there, or has no float64.
    """
    token = _CURRENT.set(of(device))
    try:
        yield _CURRENT.get()
    finally:
        _CURRENT.reset(token)


def of(device: str) -> Host:
    """The algebra of a device; see `on`."""
    if device == HOST:
        return Host()
    if device == TORCH_ON_HOST:
        return Torch("cpu", TORCH_ON_HOST)
    import torch

    try:
        known = torch.device(device)
    except RuntimeError:
        raise DeviceError(f"--probe-device {device} is not known; give auto, cpu, torch-cpu, cuda or cuda:0") from None
    if known.type != "cuda":
        why = "has no float64, which the probes need" if known.type == "mps" else "is no CUDA device"
        raise DeviceError(f"--probe-device {device} {why}; give auto, cpu, torch-cpu, cuda or cuda:0")
    if (known.index or 0) >= torch.cuda.device_count():
        raise DeviceError(
            f"--probe-device {device} is not there: torch sees {torch.cuda.device_count()} CUDA devices; give "
            "cpu, auto or a lower number"
        )
    return Torch(device)
