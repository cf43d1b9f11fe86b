"""Four strided 5×5 convolutions with GDN between them."""

from __future__ import annotations

from torch import nn

from tngexp.layers.convolutions import GDN, conv, deconv, init_weights, require_positive
from tngexp.types import Transform

__all__ = ["GDNTransform"]


class GDNTransform(Transform):
    """Ballé et al. 2018, "Variational image compression with a scale hyperprior", figure 4.

    Minnen et al. 2018 use the same transforms. Layers stand in the order of CompressAI's ``g_a``
    and ``g_s``, so its weights load under ``analysis.`` and ``synthesis.``.

    Args:
        N: channels of the hidden layers.
        M: channels of the latent.

    Raises:
        ConfigError: if a dimension is not a positive integer.
    """

    def __init__(self, N: int = 128, M: int = 192) -> None:
        super().__init__()
        require_positive("encoder (gdn)", N=N, M=M)
        self.stride = 16
        self.latent_channels = M
        # Strided 5×5 layers add 2, 4, 8 and 16 pixels: 30, less than 2 cells. Backwards, pixels
        # 0 … 15 of a cell see -1 … 8, -1 … 5, -1 … 3 and at last -1 … 2 of the inputs.
        self.reach = 2
        self.analysis = nn.Sequential(  # (B, 3, H, W)
            conv(3, N),  # (B, N, H/2, W/2)
            GDN(N),
            conv(N, N),  # (B, N, H/4, W/4)
            GDN(N),
            conv(N, N),  # (B, N, H/8, W/8)
            GDN(N),
            conv(N, M),  # (B, M, H/16, W/16)
        )
        last = deconv(N, 3)
        self.synthesis = nn.Sequential(
            deconv(M, N),
            GDN(N, inverse=True),
            deconv(N, N),
            GDN(N, inverse=True),
            deconv(N, N),
            GDN(N, inverse=True),
            last,
        )
        init_weights(self.analysis)
        # IGDN amplifies on its own: the first reconstructions stay near the grey they start from.
        init_weights(self.synthesis, gain=1.0)
        init_weights(last, gain=0.1)
        nn.init.constant_(last.bias, 0.5)  # type: ignore[arg-type]
