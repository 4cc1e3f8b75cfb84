"""What a mask is: uint8, a class a pixel, and one value that counts nowhere."""

from __future__ import annotations

# Pixels of this value are in no loss, no metric and no plot: the border that PASCAL VOC draws
# around its objects, and what an augmentation brought in from outside the picture.
IGNORE = 255
