"""A classifier behind a denoiser (Salman et al. 2020; Carlini et al. 2023), as one graph."""
