"""Whose keys a broker lets in, and what each of them may say."""
