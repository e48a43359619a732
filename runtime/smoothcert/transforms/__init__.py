"""Image transformations, in two kinds.

* The attacker's: `brightness`, `contrast`, `gamma`, `gaussian_blur`, `translate`, `rotate`, `scale` map an 8-bit image
  (H, W) or (H, W, C) to an 8-bit image of the same shape, as an OpenCV pipeline computes it: real arithmetic, round to
  nearest, saturate to 0..255. The input is never modified.
* The smoothing's own form, for a batch of parameters: unrounded, unclipped float32. Where a transformation is
  resolvable, its form obeys the composition law, T_b(T_a(x)) = T_c(x) with c a function of a and b, up to float32
  rounding: what certificates by resolvable transformations rest on (Li et al. 2021, "TSS"). The attacker's forms do
  not: 8-bit rounding and saturation, borders filled with black or reflections, sampled and cut kernels all break it.

The smoothing's forms stand in `pixels`, `heat` and `warps`. They work on one canonical shape (outer, H, W, inner): CHW
images have inner = 1, HWC images outer = 1, grey ones both; batches are C-contiguous (B, outer, H, W, inner). `unit`
is the value of full intensity: 255 for 8-bit levels held as floats, 1 for [0,1] data.
"""

from .heat import gaussian_blur as gaussian_blur
from .pixels import brightness as brightness
from .pixels import contrast as contrast
from .pixels import gamma as gamma
from .warps import rotate as rotate
from .warps import scale as scale
from .warps import translate as translate
