"""Transfer learning: a torchvision backbone with ImageNet's weights, and a new head."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torchvision.models import get_model

from cvhelpers.models.modes import evaluating
from cvhelpers.models.normalize import Normalize
from cvhelpers.models.weights import load_pretrained, weights_entry, weights_provenance


class TransferNet(nn.Module):
    """A pretrained backbone, global average pooling, dropout and a new linear layer.

    It begins with everything trainable; `freeze` and `unfreeze` say otherwise. A frozen block
    gets no gradients and stays in evaluation mode even after `train()`: its BatchNorm uses and
    keeps the statistics it came with, its dropout does nothing.

    Shape: `(B, 3, H, W)` raw pixels 0..255 -> `(B, num_classes)` logits, in the size given.

    Args:
        backbone: torchvision's name of a classifier that has `features` (efficientnet_b0,
            mobilenet_v2, vgg16, ...) or ends in `fc` (resnet18, ...). Its own classifier is taken
            off, VGG16's big linear layers too.
        num_classes: number of logits.
        pretrained: ImageNet's weights, see `load_pretrained` for what can fail; False draws
            random ones.
        dropout: before the linear layer.
        size: bring normalised images to `size x size` pixels first, bilinearly: small images stay
            small in memory. None leaves them as they come.

    Attributes:
        normalize: the constants that the weights were trained with.
        resize: to `size`; an identity without one.
        backbone: `features`, pooling and flattening; `backbone.features` alone is an encoder.
        head: dropout and linear layer.
        provenance: of the backbone's weights, `{"kind": ..., "note": ...}` with kind "real",
            "unverified" or "untrained".

    Raises:
        ValueError: a backbone without weights in torchvision, or built otherwise.
    """

    def __init__(
        self, backbone: str, num_classes: int, *, pretrained: bool = True, dropout: float = 0.2,
        size: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        constants = weights_entry(backbone).transforms()
        self.normalize = Normalize(constants.mean, constants.std)
        self.resize = nn.Upsample(size=size, mode="bilinear") if size else nn.Identity()
        self.provenance = {"kind": "untrained", "note": f"{backbone} with random weights"}
        with torch.device("meta" if pretrained else "cpu"):  # nothing is drawn only to be replaced
            model = get_model(backbone, weights=None)
        if pretrained:
            model.load_state_dict(load_pretrained(backbone), assign=True)
            self.provenance = weights_provenance(backbone)
        parts = {"features": _features(model, backbone), "pool": nn.AdaptiveAvgPool2d(1)}
        self.backbone = nn.Sequential(OrderedDict(parts, flatten=nn.Flatten())).float()
        with evaluating(self.backbone), torch.no_grad():
            width = self.backbone(torch.zeros(1, 3, 64, 64)).shape[1]
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, num_classes))
        self.frozen_blocks = 0

    def features(self, images: Tensor) -> Tensor:
        """Pooled features of raw images: `(B, 3, H, W)` -> `(B, F)`."""
        return self.backbone(self.resize(self.normalize(images)))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images))

    def freeze(self) -> TransferNet:
        """Train the head alone; return the model."""
        return self._freeze_first(len(self.blocks))

    def unfreeze(self, last: int | None = None) -> TransferNet:
        """Train everything, or the head and the last `last` of `blocks`; return the model.

        An optimizer made before does not know the new parameters: make it anew, from
        `trainable()`.

        Raises:
            ValueError: `last` is not 1 to the number of blocks.
        """
        count = len(self.blocks)
        if last is not None and not 1 <= last <= count:
            raise ValueError(f"last={last}, but the backbone has {count} blocks; give 1 to {count}")
        return self._freeze_first(0 if last is None else count - last)

    @property
    def blocks(self) -> nn.Sequential:
        """The children of `backbone.features`, in order: what `unfreeze(last=...)` counts."""
        return self.backbone.get_submodule("features")  # type: ignore[return-value]

    def trainable(self) -> list[nn.Parameter]:
        """What is not frozen, for the optimizer."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def train(self, mode: bool = True) -> TransferNet:
        """Set the mode of everything but the frozen blocks, which stay in evaluation mode."""
        super().train(mode)
        whole = self.frozen_blocks == len(self.blocks)
        (self.backbone if whole else self.blocks[: self.frozen_blocks]).eval()
        return self

    def extra_repr(self) -> str:
        return f"frozen_blocks={self.frozen_blocks}"

    def _freeze_first(self, count: int) -> TransferNet:
        self.frozen_blocks = count
        self.backbone.requires_grad_(True)
        self.blocks[:count].requires_grad_(False)
        return self.train(self.training)


def _features(model: nn.Module, name: str) -> nn.Sequential:
    """All that stands before the pooling of a torchvision classifier."""
    features = getattr(model, "features", None)
    chain = hasattr(model, "classifier") and not name.startswith("densenet")  # it adds a ReLU
    if isinstance(features, nn.Sequential) and chain:
        return features
    children = dict(model.named_children())
    if "fc" in children and not hasattr(model, "aux_logits"):  # Inception is no chain
        before = [(key, child) for key, child in children.items() if key not in ("avgpool", "fc")]
        return nn.Sequential(OrderedDict(before))
    raise ValueError(
        f"{name} is not built as features and classifier; take one that is, such as "
        "efficientnet_b0, mobilenet_v2, vgg16 or resnet18"
    )
