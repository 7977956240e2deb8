"""What the fuzz knows beyond the OpenAPI document: how events are signed, what our formats look like, and which
rules a schema cannot express."""

import base64
import hashlib
import hmac
import os
import string
import time

import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis.core.failures import Failure

SECRET = base64.b64decode(os.environ["NIM_FUZZ_SOURCE_SECRET"].removeprefix("whsec_"))


class Sign(requests.auth.AuthBase):
    """Signs the bytes that are sent. A request whose signature is missing or made up stays as it is: whether that
    is refused is what some checks want to know."""

    def __init__(self, fresh: bool):
        self.fresh = fresh

    def __call__(self, request):
        headers = request.headers
        if headers.get("webhook-signature") not in ("sign", b"sign"):
            return request
        if self.fresh:
            headers["webhook-timestamp"] = str(int(time.time()))
        text = lambda name: headers.get(name) if isinstance(headers.get(name), bytes) else str(headers.get(name, "")).encode("latin-1", "replace")
        body = request.body or b""
        body = body if isinstance(body, bytes) else body.encode()
        signed = b".".join([text("webhook-id"), text("webhook-timestamp"), body])
        digest = hmac.new(SECRET, signed, hashlib.sha256).digest()
        headers["webhook-signature"] = "v1," + base64.b64encode(digest).decode()
        return request


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.operation.path.endswith("/events"):
        negated = case.meta is not None and case.meta.is_negative_at(schemathesis.core.parameters.ParameterLocation.HEADER)
        kwargs["auth"] = Sign(fresh=not negated)


label = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=20)
host = st.builds("{}.example".format, label)
schemathesis.openapi.format("uri", st.builds("https://{}/{}?{}={}".format, host, label, label, label))
schemathesis.openapi.format("idn-hostname", host)
schemathesis.openapi.format("hostname", host)
schemathesis.openapi.format("email", st.builds("{}@{}".format, label, host))

# Said by the service alone: what depends on other data, on bytes, on the clock, or on another field.
BEYOND_THE_SCHEMA = {
    "characters", "credentials", "domain_not_active", "duplicate", "format", "host", "idempotency_key_reused",
    "in_future", "not_found", "occurred_at_in_future", "occurred_at_too_old", "partner_not_active",
    "program_not_active", "range", "required", "reserved_parameter", "scheme", "unexpected", "value",
    "amount_out_of_range",
}


@schemathesis.check
def refusals_of_valid_data(ctx, response, case):
    """Valid data is refused only by rules that no schema can express."""
    if case.meta is None or not case.meta.generation.mode.is_positive or response.status_code != 422:
        return
    problem = response.json()
    codes = {fault["code"] for fault in problem.get("errors", [])} | {problem["code"]} - {"validation_failed"}
    told = codes - BEYOND_THE_SCHEMA
    # Bytes, where the schema counts characters.
    if told == {"length"} and all(long_in_bytes(fault["pointer"]) for fault in problem["errors"] if fault["code"] == "length"):
        return
    if told:
        raise Failure(operation=case.operation.label, title="Valid data refused", message=f"{sorted(told)}: the document must say so\n{response.text}")


def long_in_bytes(pointer):
    return any(name in pointer for name in ("/custom_query", "/metadata", "/destination", "_url"))
