"""What can go wrong with a policy expression: at load, and while it runs."""

from typing import NamedTuple

# .NET's exception tree as far as expressions can meet it: short name -> short name of the base.
EXCEPTION_BASES: dict[str, str] = {
    "AggregateException": "Exception",
    "ApplicationException": "Exception",
    "ArgumentException": "SystemException",
    "ArgumentNullException": "ArgumentException",
    "ArgumentOutOfRangeException": "ArgumentException",
    "ArithmeticException": "SystemException",
    "CryptographicException": "SystemException",
    "DecoderFallbackException": "ArgumentException",
    "DivideByZeroException": "ArithmeticException",
    "FormatException": "SystemException",
    "IndexOutOfRangeException": "SystemException",
    "InvalidCastException": "SystemException",
    "InvalidOperationException": "SystemException",
    "JsonException": "Exception",
    "JsonReaderException": "JsonException",
    "JsonSerializationException": "JsonException",
    "JsonWriterException": "JsonException",
    "KeyNotFoundException": "SystemException",
    "NotImplementedException": "SystemException",
    "NotSupportedException": "SystemException",
    "NullReferenceException": "SystemException",
    "OperationCanceledException": "SystemException",
    "OverflowException": "ArithmeticException",
    "RegexMatchTimeoutException": "TimeoutException",
    "RegexParseException": "ArgumentException",
    "CultureNotFoundException": "ArgumentException",
    "RuntimeBinderException": "Exception",
    "SecurityException": "SystemException",
    "SwitchExpressionException": "InvalidOperationException",
    "SystemException": "Exception",
    "TimeZoneNotFoundException": "Exception",
    "TimeoutException": "SystemException",
    "UnauthorizedAccessException": "SystemException",
    "UriFormatException": "FormatException",
    "XmlException": "SystemException",
}

# Names .NET spells with their namespace where policies and logs look at them.
NAMESPACES = {
    "JsonException": "Newtonsoft.Json",
    "JsonReaderException": "Newtonsoft.Json",
    "JsonSerializationException": "Newtonsoft.Json",
    "JsonWriterException": "Newtonsoft.Json",
    "RuntimeBinderException": "Microsoft.CSharp.RuntimeBinder",
}


class Problem(NamedTuple):
    """One thing that keeps an expression from loading: where in the document, and what."""

    line: int
    column: int
    message: str


class ExpressionErrors(Exception):
    """Everything that is wrong with one expression, found at load."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        super().__init__("\n".join(f"{file}:{p.line}:{p.column}: {p.message}" for p in problems))
        self.file = file
        self.problems = problems


class ExpressionFailed(Exception):
    """A .NET exception: what C# code in an expression throws, catches, or lets escape."""

    def __init__(self, type_name: str, message: str | None = None, inner: "ExpressionFailed | None" = None) -> None:
        short = type_name.rpartition(".")[2]
        namespace = NAMESPACES.get(short)
        self.short_name = short
        self.type_name = f"{namespace}.{short}" if namespace else short
        self.message = message if message is not None else f"Exception of type 'System.{short}' was thrown."
        self.inner = inner
        super().__init__(f"{self.type_name}: {self.message}")

    def is_a(self, name: str) -> bool:
        """Whether a ``catch (name)`` takes this one: by its own type or any base."""
        wanted = name.rpartition(".")[2]
        current: str | None = self.short_name
        while current is not None:
            if current == wanted:
                return True
            current = EXCEPTION_BASES.get(current)
        return wanted == "Exception"


class LimitExceeded(ExpressionFailed):
    """An expression asked for more steps, memory, depth or time than it may have; C# cannot catch it."""

    def __init__(self, message: str) -> None:
        super().__init__("PolicyExpressionLimitExceeded", message)

    def is_a(self, name: str) -> bool:
        return False


def null_reference() -> ExpressionFailed:
    return ExpressionFailed("NullReferenceException", "Object reference not set to an instance of an object.")


def argument_null(parameter: str) -> ExpressionFailed:
    return ExpressionFailed("ArgumentNullException", f"Value cannot be null. (Parameter '{parameter}')")


def out_of_range(parameter: str, message: str | None = None) -> ExpressionFailed:
    text = message or "Index was out of range. Must be non-negative and less than the size of the collection."
    return ExpressionFailed("ArgumentOutOfRangeException", f"{text} (Parameter '{parameter}')")


def index_out_of_range() -> ExpressionFailed:
    return ExpressionFailed("IndexOutOfRangeException", "Index was outside the bounds of the array.")


def bad_format(text: str) -> ExpressionFailed:
    return ExpressionFailed("FormatException", f"The input string '{text}' was not in a correct format.")


def as_net_exception(error: Exception) -> ExpressionFailed:
    """The .NET exception that stands for a Python one raised inside a member; ours pass as they are."""
    match error:
        case ExpressionFailed():
            return error
        case RecursionError():
            return LimitExceeded("the expression is nested or recurses too deeply")
        case MemoryError():
            return LimitExceeded("the expression needs too much memory")
        case ZeroDivisionError():
            return ExpressionFailed("DivideByZeroException", "Attempted to divide by zero.")
        case OverflowError():
            return ExpressionFailed("OverflowException", "Arithmetic operation resulted in an overflow.")
        case IndexError():
            return index_out_of_range()
        case UnicodeError():
            return ExpressionFailed("ArgumentException", "The text cannot be encoded or decoded.")
        case AttributeError() | TypeError() if "NoneType" in str(error):
            return null_reference()
        case _:
            return ExpressionFailed("ArgumentException", f"A value does not fit here: {error}")
