"""ResNet-18 and its building block, written by hand after He et al. 2015."""

from __future__ import annotations

from torch import Tensor, nn

from cvhelpers.models.normalize import Normalize


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: `relu(F(x) + shortcut(x))`.

    The shortcut is the identity where the shape stays, and a 1x1 convolution with batch
    normalisation (the paper's projection, option B) where the block halves the size or changes
    the number of channels.

    Shape: `(B, in_channels, H, W)` -> `(B, out_channels, H / stride, W / stride)`, rounded up.

    Source: He, Zhang, Ren, Sun, "Deep residual learning for image recognition", 2015.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.relu2 = nn.ReLU()
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        residual = self.relu1(self.bn1(self.conv1(x)))
        residual = self.bn2(self.conv2(residual))
        return self.relu2(residual + self.downsample(x))


class ResNet18(nn.Module):
    """ResNet-18: 7x7 stem, four stages of two basic blocks, average pooling, one linear layer.

    Parameter names are torchvision's, so weights can be copied either way. Convolutions start
    from He et al.'s normal initialisation (fan-out).

    Shape: `(B, 3, H, W)` raw pixels 0..255 -> `(B, num_classes)` logits; any H and W from 32.

    Source: He, Zhang, Ren, Sun, "Deep residual learning for image recognition", 2015, table 1.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.normalize = Normalize()
        self.conv1 = nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = nn.Sequential(BasicBlock(64, 64), BasicBlock(64, 64))
        self.layer2 = nn.Sequential(BasicBlock(64, 128, stride=2), BasicBlock(128, 128))
        self.layer3 = nn.Sequential(BasicBlock(128, 256, stride=2), BasicBlock(256, 256))
        self.layer4 = nn.Sequential(BasicBlock(256, 512, stride=2), BasicBlock(512, 512))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(512, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(self.normalize(images))))  # (B, 64, H/2, W/2)
        x = self.layer1(self.maxpool(x))  # (B, 64, H/4, W/4)
        x = self.layer2(x)  # (B, 128, H/8, W/8)
        x = self.layer3(x)  # (B, 256, H/16, W/16)
        x = self.layer4(x)  # (B, 512, H/32, W/32)
        return self.fc(self.avgpool(x).flatten(1))  # (B, num_classes)
