"""JSON and YAML texts as plain data; whatever a text has that cannot be read is told in one line."""

import json
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

TOO_DEEP = "it is nested too deep"


def plain_data(text: str) -> Any:
    """What a text holds: JSON when it starts with `{`, else YAML. ValueError when it cannot be read as that, or is
    nested too deep."""
    kind = "JSON" if text.lstrip().startswith("{") else "YAML"
    try:
        return json.loads(text) if kind == "JSON" else YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError, KeyError) as error:  # the latter two: a value that is not what its tag or form says
        raise ValueError(f"not valid {kind}: {' '.join(str(error).split())[:200]}") from error
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
