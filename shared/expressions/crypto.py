"""Hashes, HMACs, AES, RSA signatures and random numbers for keys."""

import hashlib
import hmac
import secrets
from typing import Any

from shared.expressions.errors import ExpressionFailed, argument_null
from shared.expressions.formats import text
from shared.expressions.nettypes import NetType, returning
from shared.expressions.run import Run

_HASHES = ("MD5", "SHA1", "SHA256", "SHA384", "SHA512")


class Hash:
    """A hash algorithm, with a key when it is an HMAC; ``result`` is what the last computation gave."""

    __slots__ = ("key", "name", "result")

    def __init__(self, name: str, key: bytes | None = None) -> None:
        self.name = name
        self.key = key
        self.result: bytearray | None = None

    def compute(self, content: Any) -> bytearray:
        if content is None:
            raise argument_null("buffer")
        data = bytes(content) if not isinstance(content, str) else content.encode()
        digest = (
            hmac.digest(self.key, data, self.name) if self.key is not None else hashlib.new(self.name, data).digest()
        )
        self.result = bytearray(digest)
        return self.result


def _compute(one: Hash, buffer: Any, *span: int) -> bytearray:
    return one.compute(bytes(buffer)[span[0] : span[0] + span[1]] if span else buffer)


def _key(arguments: tuple[Any, ...]) -> bytes:
    """An HMAC made without a key gets a random one, as in .NET."""
    return bytes(arguments[0]) if arguments else secrets.token_bytes(64)


HASH = NetType(
    "HashAlgorithm",
    (Hash,),
    aliases=("KeyedHashAlgorithm", "HMAC"),
    properties=returning("byte[]", Hash=lambda one: one.result, Key=lambda one: bytearray(one.key or b""))
    | returning("int", HashSize=lambda one: hashlib.new(one.name).digest_size * 8),
    methods=returning("byte[]", ComputeHash=_compute)
    | returning(None, Dispose=lambda one: None, Clear=lambda one: None, Initialize=lambda one: None),
    settable={"Key": lambda one, key: setattr(one, "key", bytes(key))},
)


def _hash_type(name: str) -> NetType:
    codec = name.lower()
    aliases = (f"{name}Managed", f"{name}CryptoServiceProvider", f"{name}Cng")
    return NetType(
        name,
        full_name=f"System.Security.Cryptography.{name}",
        aliases=aliases,
        base=HASH,
        construct=lambda types: Hash(codec),
        statics=returning(name, Create=lambda *names: Hash(codec))
        | returning("byte[]", HashData=lambda source: Hash(codec).compute(source)),
        check=lambda value: isinstance(value, Hash) and value.name == codec and value.key is None,
    )


def _hmac_type(name: str) -> NetType:
    codec = name.lower()
    return NetType(
        f"HMAC{name}",
        full_name=f"System.Security.Cryptography.HMAC{name}",
        base=HASH,
        construct=lambda types, *key: Hash(codec, _key(key)),
        statics=returning("byte[]", HashData=lambda key, source: Hash(codec, bytes(key)).compute(source)),
        check=lambda value: isinstance(value, Hash) and value.name == codec and value.key is not None,
    )


class Aes:
    """``Aes``: a symmetric cipher whose key, vector, mode and padding can be set."""

    __slots__ = ("iv", "key", "mode", "padding")

    def __init__(self) -> None:
        self.key = secrets.token_bytes(32)
        self.iv = secrets.token_bytes(16)
        self.mode = 1
        self.padding = 2

    def run(self, content: Any, *, encrypt: bool) -> bytearray:
        from cryptography.hazmat.primitives import padding
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        try:
            chaining = modes.CBC(self.iv) if self.mode == 1 else modes.ECB()
            cipher = Cipher(algorithms.AES(self.key), chaining)
            data = bytes(content)
            if encrypt:
                if self.padding == 2:
                    padder = padding.PKCS7(128).padder()
                    data = padder.update(data) + padder.finalize()
                worker = cipher.encryptor()
                return bytearray(worker.update(data) + worker.finalize())
            worker = cipher.decryptor()
            data = worker.update(data) + worker.finalize()
            if self.padding == 2:
                unpadder = padding.PKCS7(128).unpadder()
                data = unpadder.update(data) + unpadder.finalize()
            return bytearray(data)
        except ValueError as error:
            raise ExpressionFailed("CryptographicException", f"The data cannot be processed: {error}") from None


class Transform:
    """``ICryptoTransform``: one direction of a cipher."""

    __slots__ = ("cipher", "encrypt")

    def __init__(self, cipher: Aes, encrypt: bool) -> None:
        self.cipher = cipher
        self.encrypt = encrypt


def _transform(encrypt: bool) -> Any:
    def make(one: Aes, *key_and_vector: Any) -> Transform:
        if key_and_vector:
            one.key, one.iv = (bytes(part) for part in key_and_vector)
        return Transform(one, encrypt)

    return make


def _final_block(one: Transform, buffer: Any, offset: int, count: int) -> bytearray:
    return one.cipher.run(bytes(buffer)[offset : offset + count], encrypt=one.encrypt)


def cipher(content: Any, algorithm: Any, key: Any, iv: Any, *, encrypt: bool) -> bytearray:
    """``bytes.Encrypt(algorithm, key, iv)`` and ``Decrypt``: AES in CBC mode with PKCS7 padding."""
    if isinstance(algorithm, str) and algorithm.upper() not in (
        "AES",
        "RIJNDAEL",
        "AESMANAGED",
        "AESCRYPTOSERVICEPROVIDER",
    ):
        raise ExpressionFailed("CryptographicException", f"The algorithm '{algorithm}' is not supported.")
    one = algorithm if isinstance(algorithm, Aes) else Aes()
    one.key, one.iv = bytes(key), bytes(iv)
    return one.run(content, encrypt=encrypt)


AES = NetType(
    "Aes",
    (Aes,),
    full_name="System.Security.Cryptography.Aes",
    aliases=("AesManaged", "AesCryptoServiceProvider", "RijndaelManaged", "SymmetricAlgorithm", "AesCng"),
    construct=lambda types: Aes(),
    properties=returning("byte[]", Key=lambda one: bytearray(one.key), IV=lambda one: bytearray(one.iv))
    | returning("int", KeySize=lambda one: len(one.key) * 8, BlockSize=lambda one: 128)
    | returning("int", Mode=lambda one: one.mode, Padding=lambda one: one.padding),
    methods=returning("ICryptoTransform", CreateEncryptor=_transform(True), CreateDecryptor=_transform(False))
    | returning(
        "byte[]", EncryptCbc=lambda one, content, iv, padding=None: cipher(content, one, one.key, iv, encrypt=True)
    )
    | returning(None, Dispose=lambda one: None, GenerateIV=lambda one: setattr(one, "iv", secrets.token_bytes(16))),
    statics=returning("Aes", Create=lambda *names: Aes()),
    settable={
        "Key": lambda one, value: setattr(one, "key", bytes(value)),
        "IV": lambda one, value: setattr(one, "iv", bytes(value)),
        "Mode": lambda one, value: setattr(one, "mode", value.number),
        "Padding": lambda one, value: setattr(one, "padding", value.number),
        "KeySize": lambda one, value: setattr(one, "key", secrets.token_bytes(value // 8)),
        "BlockSize": lambda one, value: None,
    },
)
TRANSFORM = NetType(
    "ICryptoTransform",
    (Transform,),
    methods=returning("byte[]", TransformFinalBlock=_final_block) | returning(None, Dispose=lambda one: None),
)


class Rsa:
    """``RSA``: a public or private key."""

    __slots__ = ("private", "public")

    def __init__(self, *, public: Any = None, private: Any = None) -> None:
        self.private = private
        self.public = public if public is not None or private is None else private.public_key()


class Named:
    """A hash algorithm's name or a padding, as RSA methods take them."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


def _constant(name: str) -> Any:
    value = Named(name)
    return lambda: value


def _hash_of(name: Any) -> Any:
    from cryptography.hazmat.primitives import hashes

    return getattr(hashes, text(getattr(name, "name", name)).upper().replace("-", ""))()


def _padding_of(padding_name: Any, algorithm: Any, *, signing: bool) -> Any:
    from cryptography.hazmat.primitives.asymmetric import padding

    name = getattr(padding_name, "name", "Pkcs1")
    if name == "Pss":
        return padding.PSS(padding.MGF1(algorithm), algorithm.digest_size)
    if name.startswith("Oaep") and not signing:
        return padding.OAEP(padding.MGF1(_hash_of(name[4:])), _hash_of(name[4:]), None)
    return padding.PKCS1v15()


def _private(one: Rsa) -> Any:
    if one.private is None:
        raise ExpressionFailed("CryptographicException", "The key has no private part.")
    return one.private


def _sign(one: Rsa, content: Any, hashAlgorithm: Any, padding: Any = None) -> bytearray:
    algorithm = _hash_of(hashAlgorithm)
    return bytearray(_private(one).sign(bytes(content), _padding_of(padding, algorithm, signing=True), algorithm))


def _verify(one: Rsa, content: Any, signature: Any, hashAlgorithm: Any, padding: Any = None) -> bool:
    from cryptography.exceptions import InvalidSignature

    algorithm = _hash_of(hashAlgorithm)
    try:
        one.public.verify(bytes(signature), bytes(content), _padding_of(padding, algorithm, signing=True), algorithm)
    except InvalidSignature:
        return False
    return True


def _import_parameters(one: Rsa, parameters: Any) -> None:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

    fields = parameters.fields
    exponent, modulus = (int.from_bytes(bytes(fields[name]), "big") for name in ("Exponent", "Modulus"))
    one.public = RSAPublicNumbers(exponent, modulus).public_key()


def _import_pem(one: Rsa, content: str) -> None:
    from cryptography.hazmat.primitives import serialization

    data = text(content).encode()
    try:
        if b"PRIVATE" in data:
            one.private = serialization.load_pem_private_key(data, None)
            one.public = one.private.public_key()
        else:
            one.public = serialization.load_pem_public_key(data)
    except ValueError:
        raise ExpressionFailed("CryptographicException", "The PEM text holds no usable key.") from None


def _decrypt(one: Rsa, content: Any, padding: Any = None) -> bytearray:
    return bytearray(_private(one).decrypt(bytes(content), _padding_of(padding, None, signing=False)))


def _encrypt(one: Rsa, content: Any, padding: Any = None) -> bytearray:
    return bytearray(one.public.encrypt(bytes(content), _padding_of(padding, None, signing=False)))


class Parameters:
    """``RSAParameters``."""

    __slots__ = ("fields",)

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}


RSA_TYPE = NetType(
    "RSA",
    (Rsa,),
    full_name="System.Security.Cryptography.RSA",
    aliases=("RSACryptoServiceProvider", "RSACng", "AsymmetricAlgorithm"),
    construct=lambda types, *size: Rsa(),
    properties=returning("int", KeySize=lambda one: one.public.key_size),
    methods=returning("byte[]", SignData=_sign, Decrypt=_decrypt, Encrypt=_encrypt)
    | returning("bool", VerifyData=_verify)
    | returning(None, ImportParameters=_import_parameters, ImportFromPem=_import_pem, Dispose=lambda one: None),
    statics=returning("RSA", Create=lambda *size: Rsa()),
)
RSA_PARAMETERS = NetType(
    "RSAParameters",
    (Parameters,),
    construct=lambda types: Parameters(),
    settable={
        "Exponent": lambda one, value: one.fields.__setitem__("Exponent", value),
        "Modulus": lambda one, value: one.fields.__setitem__("Modulus", value),
    },
)
HASH_NAME = NetType(
    "HashAlgorithmName",
    (Named,),
    constants=returning("HashAlgorithmName", **{name: _constant(name) for name in _HASHES}),
)
RSA_PADDINGS = tuple(
    NetType(name, constants=returning(name, **{one: _constant(one) for one in values}))
    for name, values in (
        ("RSASignaturePadding", ("Pkcs1", "Pss")),
        ("RSAEncryptionPadding", ("Pkcs1", "OaepSHA1", "OaepSHA256", "OaepSHA384", "OaepSHA512")),
    )
)


class RandomBytes:
    """``RandomNumberGenerator``."""

    __slots__ = ()


def _fill(one: RandomBytes, target: bytearray) -> None:
    target[:] = secrets.token_bytes(len(target))


def _random_bytes(run: Run, count: int) -> bytearray:
    run.charge(count)
    return bytearray(secrets.token_bytes(count))


RANDOM_NUMBERS = NetType(
    "RandomNumberGenerator",
    (RandomBytes,),
    aliases=("RNGCryptoServiceProvider",),
    construct=lambda types: RandomBytes(),
    methods=returning(None, GetBytes=_fill, GetNonZeroBytes=_fill, Dispose=lambda one: None),
    statics=returning("RandomNumberGenerator", Create=RandomBytes)
    | returning("byte[]", GetBytes=_random_bytes)
    | returning(
        "int",
        GetInt32=lambda low, high=None: secrets.randbelow(low) if high is None else low + secrets.randbelow(high - low),
    ),
)
FIXED_TIME = NetType(
    "CryptographicOperations",
    statics=returning("bool", FixedTimeEquals=lambda a, b: hmac.compare_digest(bytes(a), bytes(b))),
)
CRYPTO_TYPES = (
    HASH,
    *(_hash_type(name) for name in _HASHES),
    *(_hmac_type(name) for name in _HASHES),
    AES,
    TRANSFORM,
    RSA_TYPE,
    RSA_PARAMETERS,
    HASH_NAME,
    *RSA_PADDINGS,
    RANDOM_NUMBERS,
    FIXED_TIME,
)
