"""The reader of Bicep these tests stand on: it understands the language's forms, and refuses what it does not."""

import pytest

from tests.infra.bicep import parse
from tests.infra.tree import Array, Call, For, If, Lambda, Literal, Name, Object, Operation, Text, walk

TEMPLATE = """
// param commented string
targetScope = 'subscription'
/* output alsoCommented string = 'x'
*/
@description('It\\'s ${not} an interpolation\\n, // nor a comment')
@allowed(['a', 'b'])
param first string = 'a'

var text = 'one ${first == 'a' ? '${first}!' : 'it\\'s \\${plain}'} two'
var raw = '''
${not} 'read' // at all
'''
var chosen = empty(first)
  ? {}
  : { key: first, 'a.b': [1, 2] }
var mapped = toObject(items(chosen), one => one.key, (one) => '${one.value}')

resource gone 'Some.Type/things@2024-01-01' existing = if (!empty(first)) {
  name: first
}
resource many 'Some.Type/things@2024-01-01' = [for (name, index) in ['x', 'y']: if (index > 0) {
  name: name
  #disable-next-line BCP037
  odd: gone!.properties.?id ?? null
}]
output last string = many[0].id
"""


def test_forms_of_the_language_are_read() -> None:
    template = parse(TEMPLATE.replace("${not}", r"\${not}", 1))
    parameter = template.of("param")["first"]
    assert list(template.of("param")) == ["first"] and parameter.type == "string"
    assert [one.function for one in parameter.decorators] == [Name("description"), Name("allowed")]
    variables = {name: one.value for name, one in template.of("var").items()}
    text = variables["text"]
    assert isinstance(text, Text) and text.parts[0] == "one " and text.parts[2] == " two"
    choice = text.parts[1]
    assert isinstance(choice, Operation) and choice.operands[2] == Text(("it's ${plain}",))
    assert variables["raw"] == Text(("${not} 'read' // at all\n",))
    assert isinstance(variables["chosen"], Operation) and variables["chosen"].operands[1] == Object(())
    other = variables["chosen"].operands[2]
    assert isinstance(other, Object) and other.get("a.b") == Array((Literal(1), Literal(2)))
    assert isinstance(variables["mapped"], Call) and isinstance(variables["mapped"].arguments[2], Lambda)
    gone, many = template.of("resource").values()
    assert gone.existing and isinstance(gone.value, If) and gone.body.get("name") == Name("first")
    assert not many.existing and isinstance(many.value, For) and many.value.names == ("name", "index")
    assert Name("gone") in walk(many.value) and many.line == TEMPLATE[: TEMPLATE.index("resource many")].count("\n") + 1
    assert list(template.of("output")) == ["last"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("param a string\nparam a int", r":2: a is declared twice"),
        ("var a = 'open", r":1: a string without end"),
        ("var a = {\n  b: 1 c: 2\n}", r":2: 'c' after a property"),
        ("var a = [1 2]", r":1: '2' after an item"),
        ("var a = f(1 2)", r":1: '2' between arguments"),
        ("var a = 1 2", r":1: '2' after the end of a declaration"),
        ("vra a = 1", r":1: 'vra' begins no declaration"),
        ("var a = 'x${'", r"where '}' is due|without end|begins no expression"),
        ('var a = "x"', r":1: '\"' is no Bicep"),
        ("resource a 'T@1' = { name: 'x'", r":1: '' after a property"),
    ],
)
def test_what_is_no_bicep_is_refused_with_its_line(text: str, problem: str) -> None:
    with pytest.raises(SyntaxError, match=problem):
        parse(text)
