"""SmoothGrad: the gradient averaged over noisy copies of the image, weighted as in gradient x input.

Smilkov et al. 2017 (arXiv:1706.03825, equation in section 2): 16 copies with Gaussian noise of .3 standard deviations
of the image. Noise is drawn by captum's NoiseTunnel from a seed, a few copies per pass.
"""

import numpy as np

from probes.attribution._base import CHUNK, Maps, Method, Subject

COPIES, SPREAD = 16, 0.3


def explain(subject: Subject) -> Maps:
    """Maps [n, H, W], summed over channels."""
    import torch
    from captum.attr import NoiseTunnel, Saliency

    tunnel = NoiseTunnel(Saliency(subject.score))
    found = []
    with torch.random.fork_rng(devices=[subject.images.device] if subject.images.is_cuda else []):
        for k in range(len(subject.images)):
            torch.manual_seed(subject.seed * 1_000_003 + k)  # an image's map does not depend on its neighbours
            image = subject.images[k : k + 1]
            with torch.enable_grad():
                part = tunnel.attribute(
                    image.clone().requires_grad_(), nt_type="smoothgrad", nt_samples=COPIES,
                    nt_samples_batch_size=min(CHUNK, COPIES), stdevs=SPREAD * float(image.std()),
                    additional_forward_args=(torch.tensor([k]),), abs=False,
                )  # fmt: skip
            found.append((part.detach() * (image - subject.blurred[k : k + 1])).sum(dim=1).cpu().numpy())
    return Maps(
        values=np.concatenate(found).astype(np.float32),
        facts={"copies": COPIES, "noise": f"{SPREAD} sd of the image", "baseline": "blurred image"},
    )


METHOD = Method(
    name="smoothgrad",
    title="SmoothGrad",
    source="Smilkov et al. 2017, arXiv:1706.03825",
    signed=True,
    explain=explain,
)
