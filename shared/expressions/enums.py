"""The .NET enumerations that expressions name, with their numbers."""

from typing import Any, ClassVar

from shared.expressions.errors import ExpressionFailed
from shared.expressions.nettypes import NetType, TypeRef, invalid_cast, returning
from shared.expressions.numbers import is_number


class Enum:
    """A value of an enumeration: its number, and by it its name."""

    __slots__ = ("number",)
    is_enum: ClassVar[bool] = True
    is_value: ClassVar[bool] = True
    members: ClassVar[dict[str, int]] = {}
    flags: ClassVar[bool] = False

    def __init__(self, number: int) -> None:
        self.number = number

    @classmethod
    def of(cls, number: int) -> "Enum":
        return cls(number)

    @classmethod
    def parse(cls, text: str, ignore_case: bool = False) -> "Enum":
        wanted = text.strip()
        for name, number in cls.members.items():
            if name == wanted or (ignore_case and name.lower() == wanted.lower()):
                return cls(number)
        if wanted.lstrip("-").isdigit():
            return cls(int(wanted))
        raise ExpressionFailed("ArgumentException", f"Requested value '{text}' was not found.")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.number == self.number

    def __lt__(self, other: "Enum") -> bool:
        return self.number < other.number

    def __le__(self, other: "Enum") -> bool:
        return self.number <= other.number

    def __gt__(self, other: "Enum") -> bool:
        return self.number > other.number

    def __ge__(self, other: "Enum") -> bool:
        return self.number >= other.number

    def __hash__(self) -> int:
        return hash(self.number)

    def __str__(self) -> str:
        for name, number in self.members.items():
            if number == self.number:
                return name
        if self.flags:
            names = [name for name, number in self.members.items() if number and number & self.number == number]
            return ", ".join(names) or str(self.number)
        return str(self.number)

    def formatted(self, specifier: str) -> str:
        return str(self.number) if specifier.upper() == "D" else str(self)


_NUMBERS: dict[str, dict[str, int]] = {
    "StringComparison": {
        "CurrentCulture": 0,
        "CurrentCultureIgnoreCase": 1,
        "InvariantCulture": 2,
        "InvariantCultureIgnoreCase": 3,
        "Ordinal": 4,
        "OrdinalIgnoreCase": 5,
    },
    "StringSplitOptions": {"None": 0, "RemoveEmptyEntries": 1, "TrimEntries": 2},
    "RegexOptions": {
        "None": 0,
        "IgnoreCase": 1,
        "Multiline": 2,
        "ExplicitCapture": 4,
        "Compiled": 8,
        "Singleline": 16,
        "IgnorePatternWhitespace": 32,
        "RightToLeft": 64,
        "ECMAScript": 256,
        "CultureInvariant": 512,
        "NonBacktracking": 1024,
    },
    "NumberStyles": {
        "None": 0,
        "AllowLeadingWhite": 1,
        "AllowTrailingWhite": 2,
        "AllowLeadingSign": 4,
        "Integer": 7,
        "AllowDecimalPoint": 32,
        "AllowThousands": 64,
        "Number": 111,
        "AllowExponent": 128,
        "Float": 167,
        "AllowHexSpecifier": 512,
        "HexNumber": 515,
        "Any": 511,
    },
    "DateTimeStyles": {
        "None": 0,
        "AllowLeadingWhite": 1,
        "AllowTrailingWhite": 2,
        "AllowInnerWhite": 4,
        "AllowWhiteSpaces": 7,
        "NoCurrentDateDefault": 8,
        "AdjustToUniversal": 16,
        "AssumeLocal": 32,
        "AssumeUniversal": 64,
        "RoundtripKind": 128,
    },
    "DateTimeKind": {"Unspecified": 0, "Utc": 1, "Local": 2},
    "DayOfWeek": {
        "Sunday": 0,
        "Monday": 1,
        "Tuesday": 2,
        "Wednesday": 3,
        "Thursday": 4,
        "Friday": 5,
        "Saturday": 6,
    },
    "MidpointRounding": {"ToEven": 0, "AwayFromZero": 1, "ToZero": 2, "ToNegativeInfinity": 3, "ToPositiveInfinity": 4},
    "Formatting": {"None": 0, "Indented": 1},
    "JTokenType": {
        "None": 0,
        "Object": 1,
        "Array": 2,
        "Constructor": 3,
        "Property": 4,
        "Comment": 5,
        "Integer": 6,
        "Float": 7,
        "String": 8,
        "Boolean": 9,
        "Null": 10,
        "Undefined": 11,
        "Date": 12,
        "Raw": 13,
        "Bytes": 14,
        "Guid": 15,
        "Uri": 16,
        "TimeSpan": 17,
    },
    "DateParseHandling": {"None": 0, "DateTime": 1, "DateTimeOffset": 2},
    "NullValueHandling": {"Include": 0, "Ignore": 1},
    "MergeArrayHandling": {"Concat": 0, "Union": 1, "Replace": 2, "Merge": 3},
    "MergeNullValueHandling": {"Ignore": 0, "Merge": 1},
    "UriKind": {"RelativeOrAbsolute": 0, "Absolute": 1, "Relative": 2},
    "UriPartial": {"Scheme": 0, "Authority": 1, "Path": 2, "Query": 3},
    "Base64FormattingOptions": {"None": 0, "InsertLineBreaks": 1},
    "CipherMode": {"CBC": 1, "ECB": 2, "CFB": 4},
    "PaddingMode": {"None": 1, "PKCS7": 2, "Zeros": 3, "ANSIX923": 4, "ISO10126": 5},
    "SaveOptions": {"None": 0, "DisableFormatting": 1, "OmitDuplicateNamespaces": 2},
    "LoadOptions": {"None": 0, "PreserveWhitespace": 1, "SetBaseUri": 2, "SetLineInfo": 4},
    "ProductState": {"NotPublished": 0, "Published": 1},
    "AddressFamily": {"InterNetwork": 2, "InterNetworkV6": 23},
    "X509ContentType": {"Unknown": 0, "Cert": 1, "SerializedCert": 2, "Pfx": 3, "Pkcs12": 3},
    "X509NameType": {
        "SimpleName": 0,
        "EmailName": 1,
        "UpnName": 2,
        "DnsName": 3,
        "DnsFromAlternativeName": 4,
        "UrlName": 5,
    },
    "HttpStatusCode": {
        "Continue": 100,
        "OK": 200,
        "Created": 201,
        "Accepted": 202,
        "NonAuthoritativeInformation": 203,
        "NoContent": 204,
        "ResetContent": 205,
        "PartialContent": 206,
        "MultiStatus": 207,
        "MovedPermanently": 301,
        "Found": 302,
        "Redirect": 302,
        "SeeOther": 303,
        "NotModified": 304,
        "TemporaryRedirect": 307,
        "PermanentRedirect": 308,
        "BadRequest": 400,
        "Unauthorized": 401,
        "PaymentRequired": 402,
        "Forbidden": 403,
        "NotFound": 404,
        "MethodNotAllowed": 405,
        "NotAcceptable": 406,
        "ProxyAuthenticationRequired": 407,
        "RequestTimeout": 408,
        "Conflict": 409,
        "Gone": 410,
        "LengthRequired": 411,
        "PreconditionFailed": 412,
        "RequestEntityTooLarge": 413,
        "RequestUriTooLong": 414,
        "UnsupportedMediaType": 415,
        "RequestedRangeNotSatisfiable": 416,
        "ExpectationFailed": 417,
        "UnprocessableEntity": 422,
        "Locked": 423,
        "FailedDependency": 424,
        "UpgradeRequired": 426,
        "PreconditionRequired": 428,
        "TooManyRequests": 429,
        "RequestHeaderFieldsTooLarge": 431,
        "UnavailableForLegalReasons": 451,
        "InternalServerError": 500,
        "NotImplemented": 501,
        "BadGateway": 502,
        "ServiceUnavailable": 503,
        "GatewayTimeout": 504,
        "HttpVersionNotSupported": 505,
    },
}


def _enumeration(name: str, members: dict[str, int]) -> type[Enum]:
    flags = name.endswith(("Options", "Styles"))
    return type(name, (Enum,), {"__slots__": (), "members": members, "flags": flags})


ENUMERATIONS: dict[str, type[Enum]] = {name: _enumeration(name, members) for name, members in _NUMBERS.items()}
DayOfWeek = ENUMERATIONS["DayOfWeek"]
DateTimeKind = ENUMERATIONS["DateTimeKind"]
JTokenType = ENUMERATIONS["JTokenType"]


def number_of(value: Any) -> int:
    """The number of an enumeration value; a plain number stands for itself, null for 0."""
    return value.number if isinstance(value, Enum) else int(value or 0)


def _cast(kind: type[Enum]) -> Any:
    def cast(target: TypeRef, value: Any) -> Any:
        if type(value) is kind:
            return value
        if isinstance(value, Enum) or is_number(value):
            return kind(number_of(value))
        raise invalid_cast(value, target.full_name)

    return cast


def _constant(value: Enum) -> Any:
    return lambda: value


def _enum_type(name: str, kind: type[Enum]) -> NetType:
    return NetType(
        name,
        (kind,),
        constants={member: (name, _constant(kind(number))) for member, number in kind.members.items()},
        methods=returning("bool", HasFlag=lambda value, flag: value.number & flag.number == flag.number),
        cast=_cast(kind),
        default=kind(0),
        is_value=True,
    )


def _try_parse(types: tuple[TypeRef, ...], text: str | None, ignoreCase: bool = False) -> tuple[bool, Any]:
    kind: Any = types[0].net.python[0]
    try:
        return True, kind.parse(text or "", ignoreCase)
    except ExpressionFailed:
        return False, types[0].default()


def _parse(types: tuple[TypeRef, ...], *arguments: Any) -> Any:
    kind: Any = types[0].net.python[0] if types else arguments[0].python[0]
    rest = arguments if types else arguments[1:]
    return kind.parse(*rest)


ENUM_TYPES = tuple(_enum_type(name, kind) for name, kind in ENUMERATIONS.items())
ENUM = NetType(
    "Enum",
    (Enum,),
    full_name="System.Enum",
    statics=returning(None, Parse=_parse, TryParse=_try_parse)
    | returning("bool", IsDefined=lambda kind, value: str(value) in kind.python[0].members),
)
