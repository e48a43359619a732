"""How much is read of what others made, at most: far more than an honest file holds. Why: docs/security.md."""

from __future__ import annotations

RECIPE_BYTES = 2**20  # of recipe.toml; a run's has a few thousand
RECIPE_WALK = 10**6  # steps along keys that reading a recipe takes: its deepest key times its lines, and squared
LEDGER_BYTES = 2**31  # of ledger.jsonl; an input has about a thousand
LINE_BYTES = 2**24  # of one line of a ledger; mode slices writes the longest, of some ten thousand
NESTING = 32  # of lists and tables in JSON and TOML; ours go six deep
CALIBRATION_BYTES = 2**32  # of a calibration file, and of the errors in it once decompressed
HEAD_BYTES = 2**27  # of a calibration's first line, which names every attack and input
PLUGIN_BYTES = 2**24  # of a user's own Python file
SURROGATE_BYTES = 2**31  # of one file of a surrogate's bundle; networks have some millions
METADATA_BYTES = 2**24  # of one value of a model's metadata; class names are the longest
MANIFEST_BYTES = 2**30  # of a .csv manifest
FILES = 2**22  # images that a manifest lists; ImageNet has 1.3 million
INPUTS = 2**28  # of a data set
DIRECTORY_BYTES = 2**20  # of an .npz archive's table of contents: about 10,000 arrays
NPY_HEADER_BYTES = 2**14  # of an array's description in an .npz archive; NumPy writes about a hundred
IMAGE_BYTES = 2**28  # of one image file
IMAGE_PIXELS = 2**26  # of one image once decoded: 8,192 x 8,192
SOUND_BYTES = 2**28  # of one sound file
SOUND_SAMPLES = 2**26  # of one recording: 25 minutes at 44.1 kHz
JPEG_SCANS = 100  # of one JPEG file, each of which is a pass over all pixels; progressive files have about ten
FREELY_DECODED = 2**28  # bytes that anything compressed may decode to, however small it is
COMPRESSION = 200  # times its compressed size, beyond that; bombs reach 1,000
