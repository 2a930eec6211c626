# SPDX-License-Identifier: BSD-2-Clause
"""A small S3 server in memory for tests: strict about signatures, and it goes wrong when told.

	with s3server.Server() as s:
	    s.fail("PUT", "data/", "slowdown", times=2)   # the next two PUTs of packs
	    holdfast(s.url("bucket/prefix"), "init", env=s.env)
	    s.count("PUT")

Signatures are verified by what stands below, which was written from AWS's description and shares
nothing with the program's signer: the path and the query must come in canonical form, all
`x-amz-` headers must be signed, the hash of the body must be right. Buckets are found by path, or
by the first label of the host name. `python3 s3server.py PORT` serves until it is killed.

As a proxy it is Amazon's hosts: the general one sends to that of the region.

Kinds of faults: "500", "slowdown" (503), "later" (503 with
Retry-After: 1), "timeout" (400 RequestTimeout), "denied" (403), "nobucket" (404), "conflict"
(409 ConditionalRequestConflict), "taken" (somebody else is faster with that name), "reset" (the
connection, in the middle of the body where there is one), "stall" (nothing, until the other side
gives up), "truncate" (half of the body and a proper end of the connection), "length" (a header
that promises less than what follows), "skew" (403 RequestTimeTooSkewed), "expired" (400 ExpiredToken), "404"
(text, as a proxy without its server says it), "late" (the work is done, then reset).
"""

import datetime
import email.utils
import hashlib
import hmac
import http.server
import re
import socket
import socketserver
import ssl
import struct
import sys
import tempfile
import threading
import urllib.parse
from xml.sax.saxutils import escape, unescape

EMPTY = hashlib.sha256(b"").hexdigest()
ARCHIVES = ("GLACIER", "DEEP_ARCHIVE")  # objects that nobody can read until they are ordered back
XMLNS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


class Refused(Exception):
    def __init__(self, status, code, message="", extra="", headers=None):
        super().__init__(code)
        self.status, self.code, self.message = status, code, message
        self.extra, self.headers = extra, headers or {}


class Object:
    def __init__(self, data, mtime, storage_class):
        self.data = data
        self.etag = hashlib.md5(data).hexdigest()
        self.mtime = mtime
        self.storage_class = storage_class
        self.comes = self.goes = None  # when a copy out of the archive is there, and when it is gone again
        self.orders = 0                # how often one was asked for

    def is_readable(self, now):
        return self.storage_class not in ARCHIVES or bool(self.comes and self.comes <= now < self.goes)


class Fault:
    def __init__(self, method, key, kind, times, skip):
        self.method, self.key, self.kind = method, re.compile(key), kind
        self.times, self.skip = times, skip


def canonical(text, safe=""):
    return urllib.parse.quote(text, safe="-._~" + safe, errors="surrogateescape")


def hmac256(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    service = "s3"

    def log_message(self, *args):
        pass

    def date_time_string(self, timestamp=None):
        return email.utils.format_datetime(self.server.top.now(), usegmt=True)

    # ---- the signature ----

    def verify(self, body):
        """Returns the body without what a signature of its pieces puts around them."""
        top = self.server.top
        auth = self.headers.get("Authorization")
        if auth is None:
            if top.anonymous:
                return body
            raise Refused(403, "AccessDenied", "Access Denied.")
        m = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/" + self.service + r"/aws4_request, ?"
                         r"SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})", auth)
        if not m:
            raise Refused(400, "AuthorizationHeaderMalformed", "not of the form wanted")
        access, day, region, names, signature = m.groups()
        names = names.split(";")
        if self.headers.get("x-amz-security-token") in top.ended:
            raise Refused(400, "ExpiredToken", "The provided token has expired.")
        if access != top.access:
            raise Refused(403, "InvalidAccessKeyId", "The key is not known.")
        if region != top.region:
            raise Refused(400, "AuthorizationHeaderMalformed", f"the region is not {region}",
                          f"<Region>{top.region}</Region>", {"x-amz-bucket-region": top.region})
        date = self.headers.get("x-amz-date", "")
        must = {"host", "x-amz-date"} | ({"x-amz-content-sha256"} if self.service == "s3" else set()) | {
            h.lower() for h in self.headers if h.lower().startswith("x-amz-")}
        if names != sorted(set(names)) or not must <= set(names) or not date.startswith(day):
            raise Refused(403, "AccessDenied", "There were headers which were not signed.")
        then = datetime.datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
        if abs((top.now() - then).total_seconds()) > 900:
            raise Refused(403, "RequestTimeTooSkewed", "The difference is too large.",
                          f"<ServerTime>{top.now():%Y-%m-%dT%H:%M:%SZ}</ServerTime>")
        if top.token is not None and self.headers.get("x-amz-security-token") != top.token:
            raise Refused(400, "InvalidToken", "The token is wrong.")
        path, _, query = self.path.partition("?")
        pairs = sorted((canonical(urllib.parse.unquote(k)), canonical(urllib.parse.unquote(v)))
                       for k, _, v in (p.partition("=") for p in query.split("&") if p))
        ours = canonical(urllib.parse.unquote(path, errors="surrogateescape"), "/")
        if ours != path:
            raise Refused(400, "InvalidURI", f"the path should be {ours}")
        payload = self.headers.get("x-amz-content-sha256") or hashlib.sha256(body).hexdigest()
        text = "\n".join([
            self.command, path, "&".join(f"{k}={v}" for k, v in pairs),
            *(f"{n}:{','.join(' '.join(v.split()) for v in self.headers.get_all(n, ['']))}" for n in names),
            "", ";".join(names), payload])
        scope = f"{day}/{region}/{self.service}/aws4_request"
        sts = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashlib.sha256(text.encode()).hexdigest()}"
        key = ("AWS4" + top.secret).encode()
        for part in day, region, self.service, "aws4_request":
            key = hmac256(key, part)
        if not hmac.compare_digest(hmac256(key, sts).hex(), signature):
            raise Refused(403, "SignatureDoesNotMatch", "The signature does not match.",
                          f"<CanonicalRequest>{escape(text)}</CanonicalRequest>")
        if payload == "STREAMING-AWS4-HMAC-SHA256-PAYLOAD":
            return self.unwrap(body, key, f"AWS4-HMAC-SHA256-PAYLOAD\n{date}\n{scope}\n", signature)
        if payload != "UNSIGNED-PAYLOAD" and payload != hashlib.sha256(body).hexdigest():
            raise Refused(400, "XAmzContentSHA256Mismatch", "The hash of the body is another.")
        return body

    def unwrap(self, body, key, start, signature):
        """A body in pieces, each signed with the signature of the one before, as restic sends it."""
        out = []
        while True:
            m = re.match(rb"([0-9a-f]+);chunk-signature=([0-9a-f]{64})\r\n", body)
            if not m:
                raise Refused(400, "InvalidRequest", "a piece without a signature")
            size = int(m[1], 16)
            piece, body = body[m.end():m.end() + size], body[m.end() + size + 2:]
            text = f"{start}{signature}\n{EMPTY}\n{hashlib.sha256(piece).hexdigest()}"
            signature = m[2].decode()
            if hmac256(key, text).hex() != signature:
                raise Refused(403, "SignatureDoesNotMatch", "The signature of a piece does not match.")
            if size == 0:
                return b"".join(out)
            out.append(piece)

    # ---- answers ----

    def answer(self, status, body=b"", headers=None, kind=None):
        """Sends an answer, or what a fault makes of it."""
        if isinstance(body, str):
            body = body.encode()
        headers = dict(headers or {})
        if body and "Content-Type" not in headers:
            headers["Content-Type"] = "application/xml"
        length = headers.pop("Content-Length", len(body))
        if kind == "length":
            length = max(len(body) - 1, 0)
        if kind == "length" or kind == "truncate" or kind == "reset":
            self.close_connection = True
        self.status = status
        self.send_response(status)
        for k, v in headers.items():
            self.send_header(k, str(v))
        if status != 204:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(body[:len(body) // 2] if kind in ("truncate", "reset") else body)
        if kind == "reset":
            self.wfile.flush()
            self.reset()

    def reset(self):
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.shutdown(socket.SHUT_RD)

    def xml(self, name, content, kind=None, status=200):
        self.answer(status, f'<?xml version="1.0" encoding="UTF-8"?>\n<{name} {XMLNS}>{content}</{name}>',
                    kind=kind)

    def refuse(self, e):
        # Servers send the same headers to HEAD, and no body.
        self.answer(e.status, '<?xml version="1.0" encoding="UTF-8"?>\n<Error>'
                    f"<Code>{e.code}</Code><Message>{escape(e.message)}</Message>{e.extra}"
                    "<RequestId>1</RequestId></Error>", e.headers)

    # ---- requests ----

    def handle_one(self):
        top = self.server.top
        self.path = re.sub(r"^http://[^/]*", "", self.path)  # what a proxy gets
        path, _, query = self.path.partition("?")
        self.query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        names = urllib.parse.unquote(path, errors="surrogateescape").lstrip("/")
        host = self.headers.get("Host", "").partition(":")[0]
        if top.domain and host.endswith("." + top.domain):
            self.bucket, self.key = host[:-len(top.domain) - 1], names
        else:
            self.bucket, _, self.key = names.partition("/")
        self.status = 0
        fault = top.take_fault(self.command, self.key or path + "?" + query)
        size = int(self.headers.get("Content-Length", 0))
        if fault == "reset" and size:
            self.rfile.read(size // 2)
            return self.reset()
        body = self.rfile.read(size)
        if len(body) < size:
            self.close_connection = True
            return None
        if fault == "stall":
            top.closing.wait(60)
            return self.reset()
        if fault == "404":
            return self.answer(404, b"404 page not found\n", {"Content-Type": "text/plain; charset=utf-8"})
        try:
            if top.region != "us-east-1" and host == "s3.amazonaws.com":
                raise Refused(301, "PermanentRedirect", "The bucket must be addressed using the specified endpoint.",
                              f"<Endpoint>s3.{top.region}.amazonaws.com</Endpoint>", {"x-amz-bucket-region": top.region})
            body = self.verify(body)
            if fault in ("500", "slowdown", "later", "timeout", "denied", "nobucket", "conflict", "expired", "skew"):
                raise Refused(*{"500": (500, "InternalError", "We are at fault."),
                                "slowdown": (503, "SlowDown", "Please reduce your rate."),
                                "later": (503, "SlowDown", "Not now.", "", {"Retry-After": 1}),
                                "timeout": (400, "RequestTimeout", "Nothing came for long."),
                                "denied": (403, "AccessDenied", "Access Denied."),
                                "nobucket": (404, "NoSuchBucket", "The bucket does not exist."),
                                "conflict": (409, "ConditionalRequestConflict", "Another is at it."),
                                "expired": (400, "ExpiredToken", "The provided token has expired."),
                                "skew": (403, "RequestTimeTooSkewed", "Your clock is wrong.")}[fault])
            if self.headers.get("Content-MD5") and size:
                import base64
                if base64.b64decode(self.headers["Content-MD5"]) != hashlib.md5(body).digest():
                    raise Refused(400, "BadDigest", "The MD5 is another.")
            if fault == "taken":
                top.buckets[self.bucket][self.key] = Object(b"somebody else's", top.now(), "STANDARD")
            if fault == "late":
                self.answer = lambda *a, **k: self.reset()
            with top.lock:
                reply = self.dispatch(body)
            reply(fault)
        except Refused as e:
            self.refuse(e)
        finally:
            if "answer" in self.__dict__:
                del self.answer
            top.note(self.command, self.key, self.query, self.status, size)
        return None

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_one

    def dispatch(self, body):
        """Does the work, under the lock; returns a function that sends the answer."""
        top = self.server.top
        if not self.bucket:
            raise Refused(501, "NotImplemented", "no list of buckets")
        if not self.key:
            return self.on_bucket()
        if self.bucket not in top.buckets:
            raise Refused(404, "NoSuchBucket", "The bucket does not exist.")
        objects = top.buckets[self.bucket]
        if "uploads" in self.query or "uploadId" in self.query:
            return self.on_upload(objects, body)
        if self.command == "PUT":
            return self.store(objects, body)
        if self.command == "DELETE":
            objects.pop(self.key, None)
            return lambda f: self.answer(204)
        if self.key not in objects:
            raise Refused(404, "NoSuchKey", "The key does not exist.")
        if self.command == "POST" and "restore" in self.query:
            return self.order(objects[self.key], body.decode())
        if self.command == "POST":
            raise Refused(405, "MethodNotAllowed", "POST is not for this.")
        return self.read(objects[self.key])

    def on_bucket(self):
        top = self.server.top
        if self.command == "PUT":
            if self.bucket in top.buckets:
                raise Refused(409, "BucketAlreadyOwnedByYou", "It is yours.")
            top.buckets[self.bucket] = {}
            return lambda f: self.answer(200, headers={"Location": "/" + self.bucket})
        if self.bucket not in top.buckets:
            raise Refused(404, "NoSuchBucket", "The bucket does not exist.")
        if self.command == "HEAD":
            return lambda f: self.answer(200, headers={"x-amz-bucket-region": top.region})
        if "location" in self.query:
            region = "" if top.region == "us-east-1" else top.region
            return lambda f: self.xml("LocationConstraint", region, f)
        return self.list(top.buckets[self.bucket])

    def list(self, objects):
        top, q = self.server.top, self.query
        prefix, delimiter = q.get("prefix", ""), q.get("delimiter", "")
        is_v2 = q.get("list-type") == "2"
        if is_v2 and top.v1_only:
            raise Refused(501, "NotImplemented", "only version 1")
        after = q.get("continuation-token", q.get("start-after", "")) if is_v2 else q.get("marker", "")
        limit = min(int(q.get("max-keys", 1000)), top.page)
        out, seen, last, more = [], set(), "", False
        for key in sorted(k for k in objects if k.startswith(prefix) and k > after):
            group = None
            if delimiter and delimiter in key[len(prefix):]:
                group = prefix + key[len(prefix):].split(delimiter)[0] + delimiter
                if group in seen or after.startswith(group):
                    continue
            if len(out) == limit:
                more = True
                break
            last = group or key
            if group:
                seen.add(group)
                last = group + "\U0010ffff"
                out.append(f"<CommonPrefixes><Prefix>{escape(group)}</Prefix></CommonPrefixes>")
            else:
                o = objects[key]
                out.append(f"<Contents><Key>{escape(key)}</Key><LastModified>{o.mtime:%Y-%m-%dT%H:%M:%S.000Z}"
                           f"</LastModified><ETag>&quot;{o.etag}&quot;</ETag><Size>{len(o.data)}</Size>"
                           f"<StorageClass>{o.storage_class}</StorageClass></Contents>")
        if q.get("encoding-type") == "url":
            out = [re.sub(r"<(Key|Prefix)>(.*?)<", lambda m: f"<{m[1]}>{canonical(unescape(m[2]), '/')}<", x)
                   for x in out]
        head = f"<Name>{self.bucket}</Name><Prefix>{escape(prefix)}</Prefix><IsTruncated>{str(more).lower()}</IsTruncated>"
        if more and is_v2:
            head += f"<NextContinuationToken>{escape(last)}</NextContinuationToken>"
        elif more and delimiter:
            head += f"<NextMarker>{escape(last)}</NextMarker>"
        return lambda f: self.xml("ListBucketResult", head + "".join(out), f)

    def is_checked(self):
        """What is uploaded to a bucket with Object Lock has a checksum of its own."""
        if self.server.top.object_lock and not self.headers.get("Content-MD5"):
            raise Refused(400, "InvalidRequest", "Content-MD5 OR x-amz-checksum- HTTP header is required for Put "
                          "Object requests with Object Lock parameters")

    def store(self, objects, data):
        top = self.server.top
        self.is_checked()
        old = objects.get(self.key)
        if top.conditional is None and "If-None-Match" in self.headers:
            raise Refused(501, "NotImplemented", "A header you provided implies functionality that is not implemented")
        if top.conditional:
            if self.headers.get("If-None-Match") == "*" and old:
                raise Refused(412, "PreconditionFailed", "It is there.")
            if "If-Match" in self.headers and (not old or self.headers["If-Match"].strip('"') != old.etag):
                raise Refused(412, "PreconditionFailed", "It is another.")
        o = Object(data, top.now(), self.headers.get("x-amz-storage-class", "STANDARD"))
        objects[self.key] = o
        return lambda f: self.answer(200, headers={"ETag": f'"{o.etag}"'})

    def order(self, o, body):
        """RestoreObject. What is there already stays for so many days from now on."""
        top, now = self.server.top, self.server.top.now()
        m = re.fullmatch(r'<RestoreRequest xmlns="http://s3.amazonaws.com/doc/2006-03-01/">(?:<Days>(\d+)</Days>|'
                         r"<GlacierJobParameters><Tier>(Standard|Bulk|Expedited)</Tier></GlacierJobParameters>){2}"
                         r"</RestoreRequest>", body)
        if not m:
            raise Refused(400, "MalformedXML", "The XML is not what was expected.")
        if o.storage_class not in ARCHIVES:
            raise Refused(403, "InvalidObjectState", "Restore is not allowed for the object's storage class")
        if o.comes and o.comes > now:
            raise Refused(409, "RestoreAlreadyInProgress", "Object restore is already in progress")
        is_there = o.is_readable(now)
        o.orders += 1
        o.comes = o.comes if is_there else now + datetime.timedelta(seconds=top.thaw)
        o.goes = max(o.comes, now) + datetime.timedelta(days=int(m[1]) + 1)  # S3 rounds up to midnight
        return lambda f: self.answer(200 if is_there else top.accepted)

    def read(self, o):
        headers = {"ETag": f'"{o.etag}"', "Content-Type": "application/octet-stream", "Accept-Ranges": "bytes",
                   "Last-Modified": email.utils.format_datetime(o.mtime, usegmt=True)}
        m = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        now = self.server.top.now()
        if o.storage_class != "STANDARD":
            headers["x-amz-storage-class"] = o.storage_class
        if o.comes and now < o.comes:
            headers["x-amz-restore"] = 'ongoing-request="true"'
        elif o.comes and now < o.goes:
            gone = email.utils.format_datetime(o.goes, usegmt=True)
            headers["x-amz-restore"] = f'ongoing-request="false", expiry-date="{gone}"'
        if self.command == "HEAD":
            return lambda f: self.answer(200, headers={**headers, "Content-Length": len(o.data)})
        if not o.is_readable(now):
            raise Refused(403, "InvalidObjectState", "The object is in an archive.")
        if not m:
            return lambda f: self.answer(200, o.data, headers, f)
        first, last = int(m[1]), min(int(m[2] or len(o.data)), len(o.data) - 1)
        if first >= len(o.data) or first > last:
            raise Refused(416, "InvalidRange", "The range cannot be satisfied.")
        headers["Content-Range"] = f"bytes {first}-{last}/{len(o.data)}"
        return lambda f: self.answer(206, o.data[first:last + 1], headers, f)

    def on_upload(self, objects, body):
        top, upload = self.server.top, self.query.get("uploadId")
        if self.command == "POST" and "uploads" in self.query:
            upload = f"upload-{len(top.uploads) + 1}+/=&"
            top.uploads[upload] = (self.key, {}, self.headers.get("x-amz-storage-class", "STANDARD"))
            return lambda f: self.xml("InitiateMultipartUploadResult",
                                      f"<UploadId>{escape(upload)}</UploadId>", f)
        if upload not in top.uploads or top.uploads[upload][0] != self.key:
            raise Refused(404, "NoSuchUpload", "The upload does not exist.")
        _, parts, storage_class = top.uploads[upload]
        if self.command == "PUT":
            self.is_checked()
            parts[int(self.query["partNumber"])] = body
            return lambda f: self.answer(200, headers={"ETag": f'"{hashlib.md5(body).hexdigest()}"'})
        if self.command == "DELETE":
            del top.uploads[upload]
            return lambda f: self.answer(204)
        named = re.findall(r"<Part><PartNumber>(\d+)</PartNumber><ETag>(?:&quot;|\")?([0-9a-f]+)"
                           r"(?:&quot;|\")?</ETag></Part>", body.decode())
        numbers = [int(n) for n, _ in named]
        if not named or numbers != sorted(set(numbers)):
            raise Refused(400, "InvalidPartOrder", "The parts are not in order.")
        if any(hashlib.md5(parts.get(int(n), b"")).hexdigest() != e for n, e in named):
            raise Refused(400, "InvalidPart", "A part is missing or another.")
        if any(len(parts[n]) < top.min_part for n in numbers[:-1]):
            raise Refused(400, "EntityTooSmall", "A part is too small.")
        objects[self.key] = Object(b"".join(parts[n] for n in numbers), top.now(), storage_class)
        del top.uploads[upload]
        if top.complete_fails:
            # Servers begin their answer before they know how it ends.
            top.complete_fails -= 1
            del objects[self.key]
            return lambda f: self.xml("Error", "<Code>InternalError</Code><Message>late</Message>")
        return lambda f: self.xml("CompleteMultipartUploadResult", f"<Key>{escape(self.key)}</Key>", f)


class _Http(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Server:
    """`domain`: buckets are also found in front of that name, as bucket.domain.

    `conditional`: whether it keeps to If-None-Match and If-Match; None: it refuses to.
    `tls`: a certificate for localhost, as restd.Authority makes one; then the server speaks nothing else.
    `thaw`: so many seconds after it was ordered, what is in an archive can be read.
    `object_lock`: the bucket keeps what is in it, and so wants Content-MD5 with it.
    """

    def __init__(self, port=0, region="us-east-1", token=None, conditional=True, page=1000,
                 v1_only=False, anonymous=False, clock=0.0, domain=None, min_part=5 << 20, tls=None, thaw=0.0, object_lock=False):
        self.access, self.secret, self.token = "HFTESTKEY", "geheim/+=secret", token
        self.region, self.conditional, self.page, self.v1_only = region, conditional, page, v1_only
        self.anonymous, self.clock, self.domain, self.min_part = anonymous, clock, domain, min_part
        self.lock, self.closing = threading.RLock(), threading.Event()
        self.buckets, self.uploads, self.faults, self.requests = {}, {}, [], []
        self.complete_fails = 0
        self.ended = set()  # session tokens whose time is over
        self.thaw, self.accepted, self.object_lock = thaw, 202, object_lock
        self.home = tempfile.TemporaryDirectory()
        self.http = _Http(("127.0.0.1", port), Handler)
        self.http.top = self
        self.is_tls = tls is not None
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls.cert, tls.key)
            # The handshake is for the thread of the connection: here it would hold up everybody.
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True,
                                                   do_handshake_on_connect=False)
        self.port = self.http.server_address[1]
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closing.set()
        self.http.shutdown()
        self.http.server_close()
        self.home.cleanup()

    def now(self):
        return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=self.clock)

    def url(self, place):
        where = "https://localhost" if self.is_tls else "http://127.0.0.1"
        return f"s3:{where}:{self.port}/{place}"

    @property
    def env(self):
        """For programs: the keys, and nothing of the user's own."""
        return {"AWS_ACCESS_KEY_ID": self.access, "AWS_SECRET_ACCESS_KEY": self.secret,
                "AWS_SESSION_TOKEN": self.token or "", "AWS_DEFAULT_REGION": "", "AWS_PROFILE": "",
                "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "HOME": self.home.name}

    def fail(self, method, key, kind, times=1, skip=0):
        """After `skip` matching requests, the next `times` go wrong. `key` is a regular expression."""
        with self.lock:
            self.faults.append(Fault(method, key, kind, times, skip))

    def take_fault(self, method, key):
        with self.lock:
            for f in self.faults:
                if f.times > 0 and f.method in (method, "*") and f.key.search(key):
                    if f.skip > 0:
                        f.skip -= 1
                        continue
                    f.times -= 1
                    return f.kind
        return None

    def note(self, *what):
        with self.lock:
            self.requests.append(what)

    def count(self, method=None, key=""):
        """Requests with that method whose key, or query of a bucket, matches."""
        with self.lock:
            return sum(1 for m, k, q, _, _ in self.requests
                       if method in (None, m) and re.search(key, k or urllib.parse.urlencode(q)))

    def forget(self):
        with self.lock:
            self.requests.clear()


if __name__ == "__main__":
    with Server(int(sys.argv[1]) if len(sys.argv) > 1 else 0) as server:
        print(" ".join(f"{k}={v}" for k, v in server.env.items() if v), server.url("bucket"), flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            pass
