"""Surrogates of transformations: trained, fitted, and exported as one bundle of files."""
