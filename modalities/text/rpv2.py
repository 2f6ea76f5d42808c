"""RedPajama-V2's normal form of a text, on which its signals count words (Weber et al. 2024)."""

from __future__ import annotations

import re
import string

import pyarrow as pa
import pyarrow.compute as pc

_PUNCTUATION = f"[{re.escape(string.punctuation)}]+"


def normalised(text: pa.Array) -> pa.Array:
    """The texts without ASCII punctuation, in lower case, in NFD; white space as it was, since words are what lies between it.

    text  (n,) large_string; nulls stay null
    """
    return pc.utf8_normalize(pc.utf8_lower(pc.replace_substring_regex(text, _PUNCTUATION, "")), "NFD")
