"""Swin Transformer (Liu et al. 2021) as a detection backbone: any input size, one output norm per stage."""

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers import ScaledDotProduct

_PATCH = 4
# Score of a key in another region, as the published weights were trained: finite, and exact in half precision.
_BLOCKED = -100.0


def relative_position_index(window: int) -> Tensor:
    """Return the row of the bias table for every pair of cells of a window, [window**2, window**2]."""
    cell = torch.arange(window)
    offset = cell[:, None] - cell[None, :] + window - 1
    index = offset[:, None, :, None] * (2 * window - 1) + offset[None, :, None, :]
    return index.reshape(window * window, window * window)


def shift_mask(height: int, width: int, window: int) -> Tensor:
    """Compute the additive attention mask of a shifted block.

    Rolling the map brings cells of opposite borders into one window; they must not attend to each other.

    Args:
        height: rows of the map before padding.
        width: columns of the map before padding.
        window: window size.

    Returns:
        [windows, window**2, window**2], 0 inside a region and -100 across regions.
    """

    def regions(size: int) -> Tensor:
        padded = size + -size % window
        cell = torch.arange(padded)
        return (cell >= padded - window).long() + (cell >= padded - window // 2).long()

    region = 3 * regions(height)[:, None] + regions(width)[None, :]
    cells = to_windows(region[None, :, :, None], window)[..., 0]
    return torch.where(cells[:, :, None] == cells[:, None, :], 0.0, _BLOCKED)


def to_windows(x: Tensor, window: int) -> Tensor:
    """Cut [N, H, W, C], H and W multiples of the window, into [N * windows, window**2, C]."""
    n, height, width, channels = x.shape
    grid = x.reshape(n, height // window, window, width // window, window, channels)
    return grid.permute(0, 1, 3, 2, 4, 5).reshape(-1, window * window, channels)


def from_windows(windows: Tensor, height: int, width: int, window: int) -> Tensor:
    """Undo `to_windows` for a map of `height` x `width`."""
    channels = windows.shape[-1]
    grid = windows.reshape(-1, height // window, width // window, window, window, channels)
    return grid.permute(0, 1, 3, 2, 4, 5).reshape(-1, height, width, channels)


class WindowAttention(nn.Module):
    """Multi-head self-attention inside windows, with a learned bias for each relative position.

    Args:
        dim: channels.
        heads: attention heads; divides `dim`.
        window: window size.
    """

    bias_index: Tensor

    def __init__(self, *, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(dim, dim)
        self.k = nn.Linear(dim, dim)
        self.v = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)
        self.attend = ScaledDotProduct()
        self.bias_table = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        self.register_buffer("bias_index", relative_position_index(window), persistent=False)
        nn.init.normal_(self.bias_table, std=0.02)

    def forward(self, windows: Tensor, mask: Tensor | None) -> Tensor:
        """Attend within each window.

        Args:
            windows: [N * M, window**2, dim], M windows of each of N images.
            mask: [M, window**2, window**2], added to the scores.

        Returns:
            [N * M, window**2, dim].
        """
        count, cells, dim = windows.shape
        q, k, v = (
            projection(windows).reshape(count, cells, self.heads, dim // self.heads).transpose(1, 2)
            for projection in (self.q, self.k, self.v)
        )
        bias = self.bias_table[self.bias_index].permute(2, 0, 1)[None]
        if mask is not None:
            bias = (bias + mask[:, None])[None].expand(count // mask.shape[0], -1, -1, -1, -1).flatten(0, 1)
        attended = self.attend(q, k, v, bias.to(q.dtype))
        return self.out(attended.transpose(1, 2).reshape(count, cells, dim))


class SwinBlock(nn.Module):
    """Window attention and an MLP, each pre-normalised and residual.

    Args:
        dim: channels.
        heads: attention heads.
        window: window size.
        shifted: whether windows are displaced by half their size, as in every second block.
        mlp_ratio: hidden channels of the MLP as a multiple of `dim`.
        drop_path: probability of dropping a residual branch of an image in training.
    """

    def __init__(self, *, dim: int, heads: int, window: int, shifted: bool, mlp_ratio: float, drop_path: float) -> None:
        super().__init__()
        self.window = window
        self.shifted = shifted
        self.drop_path = drop_path
        self.norm1 = nn.LayerNorm(dim)
        self.attention = WindowAttention(dim=dim, heads=heads, window=window)
        self.norm2 = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, int(dim * mlp_ratio))
        self.fc2 = nn.Linear(int(dim * mlp_ratio), dim)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Apply the block to x [N, H, W, dim]; mask is `shift_mask(H, W, window)`, unused if not shifted."""
        x = x + self._drop(self._attend(self.norm1(x), mask))
        return x + self._drop(self.fc2(F.gelu(self.fc1(self.norm2(x)))))

    def _attend(self, x: Tensor, mask: Tensor) -> Tensor:
        height, width = x.shape[1:3]
        # Padding follows the norm, so padded cells are zeros; attention sees them, as published.
        below, right, shift = -height % self.window, -width % self.window, self.window // 2
        if below or right:
            x = F.pad(x, (0, 0, 0, right, 0, below))
        if self.shifted:
            x = torch.roll(x, (-shift, -shift), (1, 2))
        windows = self.attention(to_windows(x, self.window), mask if self.shifted else None)
        x = from_windows(windows, height + below, width + right, self.window)
        if self.shifted:
            x = torch.roll(x, (shift, shift), (1, 2))
        return x[:, :height, :width]

    def _drop(self, branch: Tensor) -> Tensor:
        if not self.training or self.drop_path == 0.0:
            return branch
        keep = torch.rand(branch.shape[0], 1, 1, 1, device=branch.device) >= self.drop_path
        return branch * keep / (1.0 - self.drop_path)


class PatchEmbed(nn.Module):
    """Embeds patches of 4x4 pixels as tokens.

    Args:
        dim: channels of a token.
    """

    def __init__(self, *, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, _PATCH, stride=_PATCH)
        self.norm = nn.LayerNorm(dim)

    def forward(self, images: Tensor) -> Tensor:
        """Embed images [N, 3, H, W] as [N, H / 4, W / 4, dim]."""
        return self.norm(self.proj(images).permute(0, 2, 3, 1))


class PatchMerging(nn.Module):
    """Joins each 2x2 group of tokens into one with twice the channels.

    Args:
        dim: channels of the input.
    """

    def __init__(self, *, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Merge [N, H, W, dim], H and W even, to [N, H / 2, W / 2, 2 * dim]."""
        n, height, width, dim = x.shape
        groups = x.reshape(n, height // 2, 2, width // 2, 2, dim)
        # Columns vary slower than rows in the concatenated channels: the order of the published weights.
        groups = groups.permute(0, 1, 3, 4, 2, 5).reshape(n, height // 2, width // 2, 4 * dim)
        return self.reduction(self.norm(groups))


class SwinStage(nn.Module):
    """The blocks of one resolution and the step down to the next.

    Args:
        dim: channels.
        heads: attention heads.
        window: window size.
        mlp_ratio: see `SwinBlock`.
        drop_paths: drop-path probability of each block; their number is the depth of the stage.
        last: whether no stage follows, so that nothing is merged.
    """

    shift_mask: Tensor | None

    def __init__(
        self, *, dim: int, heads: int, window: int, mlp_ratio: float, drop_paths: Sequence[float], last: bool
    ) -> None:
        super().__init__()
        self.window = window
        self.blocks = nn.ModuleList(
            SwinBlock(
                dim=dim,
                heads=heads,
                window=window,
                shifted=block % 2 == 1,
                mlp_ratio=mlp_ratio,
                drop_path=drop_path,
            )
            for block, drop_path in enumerate(drop_paths)
        )
        self.downsample = nn.Identity() if last else PatchMerging(dim=dim)
        self.register_buffer("shift_mask", None, persistent=False)

    def prepare(self, height: int, width: int, device: torch.device) -> None:
        """Build the shift mask for maps of `height` x `width`."""
        self.shift_mask = shift_mask(height, width, self.window).to(device)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Run on [N, H, W, dim]; return that shape and, merged, the next stage's input [N, H / 2, W / 2, 2 * dim]."""
        for block in self.blocks:
            x = block(x, self.shift_mask)
        return x, self.downsample(x)


class Swin(nn.Module):
    """Swin Transformer of any size; Swin-L is 192, (2, 2, 18, 2), (6, 12, 24, 48), window 12.

    Args:
        embed_dim: channels of the first stage; each next stage has twice as many.
        depths: blocks in each of the four stages.
        heads: attention heads in each of the four stages.
        window: window size.
        mlp_ratio: hidden channels of the MLPs as a multiple of their input.
        drop_path_rate: probability of dropping the last block's branches in training, growing linearly from
            0 at the first block.
    """

    def __init__(
        self,
        *,
        embed_dim: int,
        depths: Sequence[int],
        heads: Sequence[int],
        window: int,
        mlp_ratio: float = 4.0,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        if len(depths) != 4 or len(heads) != 4:
            raise ValueError(
                f"depths={tuple(depths)} and heads={tuple(heads)} must have one entry for each of 4 stages"
            )
        self.channels = (embed_dim, 2 * embed_dim, 4 * embed_dim, 8 * embed_dim)
        for dim, stage_heads in zip(self.channels, heads, strict=True):
            if dim % stage_heads:
                raise ValueError(
                    f"heads={tuple(heads)}: {stage_heads} does not divide its stage's {dim} channels; choose a divisor"
                )
        if not 0.0 <= drop_path_rate < 1.0:
            raise ValueError(f"drop_path_rate={drop_path_rate} must be in [0, 1)")
        self.patch_embed = PatchEmbed(dim=embed_dim)
        rates = [drop_path_rate * block / max(sum(depths) - 1, 1) for block in range(sum(depths))]
        self.stages = nn.ModuleList(
            SwinStage(
                dim=dim,
                heads=heads[stage],
                window=window,
                mlp_ratio=mlp_ratio,
                drop_paths=rates[sum(depths[:stage]) : sum(depths[: stage + 1])],
                last=stage == 3,
            )
            for stage, dim in enumerate(self.channels)
        )
        self.out_norms = nn.ModuleList(nn.LayerNorm(dim) for dim in self.channels)
        self._prepared: tuple[int, int] | None = None
        self.apply(_init_linear)

    def prepare(self, height: int, width: int) -> None:
        """Build the shift masks for images of `height` x `width`, multiples of 32."""
        if height <= 0 or width <= 0 or height % 32 or width % 32:
            raise ValueError(
                f"height={height} and width={width} must be positive multiples of 32; pad the input to them"
            )
        device = self.patch_embed.proj.weight.device
        for level, stage in enumerate(cast("Sequence[SwinStage]", self.stages)):
            stage.prepare(height // _PATCH >> level, width // _PATCH >> level, device)
        self._prepared = (height, width)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Compute maps at strides 4, 8, 16, 32 from normalised RGB images [N, 3, H, W] of the prepared size."""
        size = (images.shape[-2], images.shape[-1])
        if size != self._prepared:
            raise ValueError(
                f"images have (height, width) {size} but the backbone is prepared for {self._prepared}; call "
                f"prepare({size[0]}, {size[1]}) first"
            )
        x = self.patch_embed(images)
        maps = []
        for stage, norm in zip(self.stages, self.out_norms, strict=True):
            tokens, x = stage(x)
            maps.append(norm(tokens).permute(0, 3, 1, 2))
        return tuple(maps)


def _init_linear(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
