"""What members are known by, and what this program is known by: certificates, for endpoints that are reached by TLS, or a token."""

import asyncio
import ipaddress
import logging
import os
import ssl
import threading

#: The variables that the `tenure` binary reads too.
CA, CERT, KEY = "TENURE_CA", "TENURE_CERT", "TENURE_KEY"
#: Where a token stands: in a file, or itself. Under `tenure run` the second is the grant's, a number, and no secret.
TOKEN_FILE, TOKEN = "TENURE_TOKEN_FILE", "TENURE_TOKEN"
#: How every token begins.
TOKEN_START = "tenure-token-"

_log = logging.getLogger("tenure")


def context(ca: str | None = None, cert: str | None = None, key: str | None = None) -> ssl.SSLContext:
    """TLS 1.3 under the CA of the cluster, and no other; each file is a path of PEM, and where it is not given the one that
    TENURE_CA, TENURE_CERT or TENURE_KEY names. ValueError where one is missing, or cannot be used. A session looks at them again
    before each link, and opens it by what has changed."""
    ca, cert, key = ca or os.environ.get(CA), cert or os.environ.get(CERT), key or os.environ.get(KEY)
    if not ca:
        raise ValueError(f"an https endpoint needs the cluster's CA: give its file as ca, or as {CA}")
    if bool(cert) != bool(key):
        raise ValueError(f"a certificate goes with its key: give both cert and key, or {CERT} and {KEY}, or neither")
    return _made((ca, cert, key))


class _OfFiles(ssl.SSLContext):
    """A context of files, which are looked at again: what they are, and by what it is seen that they have changed."""

    complaint: str | None = None
    is_looked_at: bool = False
    files: tuple[str, str | None, str | None]
    stamps: list[tuple[int, int, int] | None]


def renewed(tls: ssl.SSLContext | None) -> ssl.SSLContext | None:
    """What the next link is opened by: `tls` itself; or, where it is of files that have changed since, a new one of them. Where they cannot
    be used, as between the writing of a certificate and that of its key, it is `tls` yet, and the log says why, once. What a program has set
    on `tls` besides, such as a list of revoked certificates, the new one has not: one that needs that makes its contexts itself."""
    if not isinstance(tls, _OfFiles) or tls.stamps == _stamps(tls.files):
        return tls
    try:
        return _made(tls.files)
    except ValueError as error:
        # Told once, and tried again each time: what is wrong may be mended without a change of what is in them.
        if tls.complaint != str(error):
            _log.warning("changed certificates cannot be used, those that were read before are: %s", error)
            tls.complaint = str(error)
        return tls


async def renewed_aside(tls: ssl.SSLContext | None, seconds: float) -> ssl.SSLContext | None:
    """The same on a thread of its own, which no exit waits for: files that hang keep nobody else waiting. While one looks at a context's
    files, whoever else asks is given the context. TimeoutError where it takes longer."""
    if not isinstance(tls, _OfFiles) or tls.is_looked_at:
        return tls
    loop = asyncio.get_running_loop()
    found: asyncio.Future[ssl.SSLContext | None] = loop.create_future()

    def look() -> None:
        try:
            again = renewed(tls)
        finally:
            tls.is_looked_at = False
        try:
            loop.call_soon_threadsafe(lambda: found.done() or found.set_result(again))
        except RuntimeError:  # The loop is closed: nobody waits for it any more.
            pass

    tls.is_looked_at = True
    threading.Thread(target=look, name="tenure-certificates", daemon=True).start()
    try:
        return await asyncio.wait_for(found, seconds)
    except asyncio.TimeoutError:
        raise TimeoutError(f"the files of the certificates have not answered within {seconds:.1f} s") from None


def _stamps(files: tuple[str | None, ...]) -> list[tuple[int, int, int] | None]:
    def stamp(path: str) -> tuple[int, int, int] | None:
        try:
            found = os.stat(path)
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    return [stamp(path) for path in files if path]


def _made(files: tuple[str, str | None, str | None]) -> _OfFiles:
    ca, cert, key = files
    made = _OfFiles(ssl.PROTOCOL_TLS_CLIENT)
    # Looked at before they are read: what changes meanwhile is seen the next time.
    made.files, made.stamps = files, _stamps(files)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        made.load_verify_locations(ca)
    except OSError as error:  # An ssl.SSLError is one too.
        raise ValueError(f"the CA {ca!r} cannot be used: {error}") from error
    if cert:
        try:
            made.load_cert_chain(cert, key, password=_no_password)
        except (OSError, _Locked) as error:
            raise ValueError(f"the certificate {cert!r} with the key {key!r} cannot be used: {error}") from error
    return made


def is_guarded(address: str) -> bool:
    """Whether nobody listens on the way to it: by TLS, or on this machine."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return address.startswith("https://") or host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def token(given: str | None = None) -> str | None:
    """The token to come by: the one that is given, that of the file that TENURE_TOKEN_FILE names, or TENURE_TOKEN; None where there is
    none. ValueError where it is no token; it repeats nothing of it."""
    text, where = given, "the token"
    if text is None and (path := os.environ.get(TOKEN_FILE)):
        where = f"the token in {path!r}"
        try:
            if os.stat(path).st_mode & 0o037:
                raise ValueError(f"others may read or change {where}: chmod 600")
            with open(path, encoding="utf-8") as file:
                text = file.read()
        except OSError as error:
            raise ValueError(f"{where} cannot be read: {error}") from error
    if text is None and os.environ.get(TOKEN, "").startswith(TOKEN_START):
        text, where = os.environ[TOKEN], f"the token in {TOKEN}"
    if text is None:
        return None
    text = text.strip()
    if not (text.startswith(TOKEN_START) and text.isascii() and text.replace("-", "").isalnum()):
        raise ValueError(f"{where} is none: one begins with {TOKEN_START}, and `tenure token create` makes it")
    return text


class _Locked(Exception):
    pass


# Without it, OpenSSL asks whoever sits at the terminal.
def _no_password() -> str:
    raise _Locked("the key is locked with a password: store it without one, with mode 0600")


#: What a member says of our certificate, and what is wrong with it.
_ALERTS = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": f"it asks for a client's certificate: give cert and key, or {CERT} and {KEY}",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not know the CA that issued our certificate: give one of that cluster's client CA",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "by its clock our certificate has expired, or is not yet valid: have a new one made",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it refuses our certificate: its log says more",
    "WRONG_VERSION_NUMBER": "it does not speak TLS: where that is meant, write http:// for https://",
}


def cause(error: BaseException) -> str:
    """Why a link did not open, in words that say what to do."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, ssl.SSLError):
        seen = seen.__cause__ or seen.__context__
    if isinstance(seen, ssl.SSLCertVerificationError):
        return f"its certificate cannot be believed: {seen.verify_message}"
    if isinstance(seen, ssl.SSLError) and seen.reason in _ALERTS:
        return _ALERTS[seen.reason]
    return str(seen or error) or type(error).__name__
