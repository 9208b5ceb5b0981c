"""What Newtonsoft reads beyond JSON, brought to JSON: single quotes, bare names, comments, a comma before the end.

https://www.newtonsoft.com/json/help/html/T_Newtonsoft_Json_JsonTextReader.htm
"""

import json
import re

_PIECES = re.compile(
    r"""(?P<skip>\s+|//[^\r\n]*|/\*(?s:.*?)\*/)
    |"(?P<double>(?:[^"\\]|\\(?s:.))*)"
    |'(?P<single>(?:[^'\\]|\\(?s:.))*)'
    |(?P<mark>[{}\[\],:])
    |(?P<word>[^\s{}\[\],:"'/]+)""",
    re.VERBOSE,
)
_QUOTES = re.compile(r'\\(?s:.)|"')


def as_json(content: str) -> str | None:
    """The same as JSON text, or None where the text has something else in it.

    It may still be no JSON: whether pieces are in their place is the JSON reader's to say.
    """
    made: list[str] = []
    end = 0
    for found in _PIECES.finditer(content):
        if found.start() != end:
            return None
        end = found.end()
        piece, kind = found[0], found.lastgroup
        match kind:
            case "double" | "single":
                made.append(f'"{_QUOTES.sub(_requoted, found[kind])}"')
            case "mark":
                if piece == ":" and made and _is_bare(made[-1]):
                    made[-1] = json.dumps(made[-1])
                if piece in "}]" and made[-1:] == [","]:
                    made.pop()
                made.append(piece)
            case "word":
                made.append("null" if piece == "undefined" else piece)
    return " ".join(made) if end == len(content) else None


def _requoted(found: "re.Match[str]") -> str:
    match found[0]:
        case '"':
            return '\\"'
        case "\\'":
            return "'"
    return found[0]


def _is_bare(piece: str) -> bool:
    return re.fullmatch(r"[\w$]+", piece) is not None
