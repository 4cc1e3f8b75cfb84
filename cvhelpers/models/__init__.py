"""Models, one file per family. Every model takes raw batches (0..255) and normalises inside."""

from cvhelpers.models.cifar import SmallCNN
from cvhelpers.models.convnet import ConvNet
from cvhelpers.models.lenet import LeNet5
from cvhelpers.models.modes import evaluating
from cvhelpers.models.normalize import Normalize
from cvhelpers.models.receptive import ReceptiveField, gradient_footprint, receptive_field
from cvhelpers.models.resnet import BasicBlock, ResNet18
from cvhelpers.models.traffic_signs import (
    MIRROR_CLASSES,
    CentreCrop,
    TrafficSignCNN,
    template_augmentation,
)
from cvhelpers.models.transfer import TransferNet
from cvhelpers.models.transfer_unet import TransferUNet
from cvhelpers.models.unet import DoubleConv, UNet, UpBlock

__all__ = [
    "MIRROR_CLASSES",
    "BasicBlock",
    "CentreCrop",
    "ConvNet",
    "DoubleConv",
    "LeNet5",
    "Normalize",
    "ReceptiveField",
    "ResNet18",
    "SmallCNN",
    "TrafficSignCNN",
    "TransferNet",
    "TransferUNet",
    "UNet",
    "UpBlock",
    "evaluating",
    "gradient_footprint",
    "receptive_field",
    "template_augmentation",
]
