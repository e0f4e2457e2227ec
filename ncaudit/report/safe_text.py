"""Text from strangers, made harmless for spreadsheets and terminals.

One home for both, so that the table and the console escape the same characters.
"""

import re

# C0, DEL and C1; the characters with Bidi_Control; the two Unicode line ends; halves of
# surrogate pairs, which no UTF-8 file or terminal can take.
_CONTROLS = (
    "\\x00-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069"
    "\\ud800-\\udfff"
)
_CONTROL = re.compile(f"[{_CONTROLS}]")
_CONTROL_BUT_NEWLINE = re.compile(f"(?!\\n)[{_CONTROLS}]")
_SHORT = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}
# What a spreadsheet may take for a formula: the signs in ASCII, fullwidth and small form,
# also after blanks and characters that nobody sees.
_FORMULA = re.compile(
    f"[\\t\\r]|[\\s\\u200b-\\u200d\\u2060\\ufeff{_CONTROLS}]*"
    "[=+\\-@\\uff1d\\uff0b\\uff0d\\uff20\\ufe66\\ufe62\\ufe63\\ufe6b]"
)


def escape_controls(text: str, *, keep_newlines: bool = False) -> str:
    r"""Return `text` with control characters as visible escapes, `\n`, `\x1b`, `\u202e`.

    Escaped are C0 and C1 controls, bidirectional controls, Unicode line ends and lone
    surrogates. Backslashes are left alone, so this is for reading, not for reading back.
    """
    return (_CONTROL_BUT_NEWLINE if keep_newlines else _CONTROL).sub(_escaped, text)


def safe_cell(text: str) -> str:
    """Return `text` as a spreadsheet cell: one line that never starts a formula.

    A `'` is put before text that starts with `=`, `+`, `-`, `@`, tab or carriage return,
    also after white space and also in fullwidth form; then control characters are escaped.
    """
    quote = "'" if _FORMULA.match(text) else ""
    return quote + escape_controls(text)


def _escaped(match: re.Match[str]) -> str:
    character = match.group()
    code = ord(character)
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")
