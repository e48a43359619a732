"""Image transformations, in two kinds.

* The attacker's, named here: from an 8-bit image (H, W) or (H, W, C) to another of its shape, as an OpenCV pipeline
  computes it: real arithmetic, round to nearest, saturate to 0..255. The input is never modified.
* The smoothing's own, in `pixels`, `heat` and `warps`: unrounded, unclipped float32, for a batch of parameters. They
  obey a composition law, T_b(T_a(x)) = T_c(x), up to float32 rounding (Li et al. 2021, "TSS"); the attacker's do not.
  Images are (outer, H, W, inner): CHW ones have inner = 1, HWC ones outer = 1; batches are C-contiguous, with one axis
  more in front. `unit` is the value of full intensity: 255 for 8-bit levels held as floats, 1 for [0,1] data.
"""

from .heat import gaussian_blur as gaussian_blur
from .pixels import brightness as brightness
from .pixels import contrast as contrast
from .pixels import gamma as gamma
from .warps import rotate as rotate
from .warps import scale as scale
from .warps import translate as translate
