"""What the fuzz knows beyond the OpenAPI document: how events are signed, what our formats look like, and which
rules a schema cannot express."""

import atexit
import base64
import collections
import datetime
import hashlib
import hmac
import json
import os
import re
import secrets
import string
import time

import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis.core.failures import Failure

# Of what was set up: an id by its prefix, for use and change at will; and what the run itself needs.
IDS = dict(pair.split("=") for pair in os.environ["NIM_FUZZ_IDS"].split(","))
OWN = os.environ["NIM_FUZZ_OWN"].split(",")
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
    # Ids that were seen in answers are tried everywhere; the fuzz must not lock itself out.
    parameters = case.path_parameters or {}
    if parameters.get("id") in OWN:
        parameters["id"] = IDS["ws" if case.operation.path.startswith("/v1/workspaces/") else "key"]
    # The document's example key would otherwise stand before every POST, for another request each time.
    headers = case.headers or {}
    if headers.get("Idempotency-Key") == "order-4711":
        headers["Idempotency-Key"] += "-" + secrets.token_hex(8)
    if case.operation.path.endswith("/events"):
        negated = case.meta is not None and case.meta.is_negative_at(schemathesis.core.parameters.ParameterLocation.HEADER)
        kwargs["auth"] = Sign(fresh=not negated)


EXAMPLE = re.compile(r"^([a-z]+)_01h455vb4pex5vsknk084sn02q$")


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """The ids in the document's examples become ids of what was set up, so that the examples lead somewhere."""

    def real(value):
        if isinstance(value, dict):
            return {name: real(field) for name, field in value.items()}
        if isinstance(value, list):
            return [real(item) for item in value]
        match = EXAMPLE.match(value) if isinstance(value, str) else None
        return IDS.get(match[1], value) if match else value

    raw_schema["paths"] = real(raw_schema["paths"])


ANSWERS = collections.defaultdict(collections.Counter)


@schemathesis.hook
def after_call(context, case, response):
    ANSWERS[case.operation.label][response.status_code] += 1


@atexit.register
def write_answers():
    with open(os.environ["NIM_FUZZ_ANSWERS"], "w") as file:
        json.dump(ANSWERS, file, indent=2)


label = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=20)
host = st.builds("{}.example".format, label)
schemathesis.openapi.format("uri", st.builds("https://{}/{}?{}={}".format, host, label, label, label))
schemathesis.openapi.format("idn-hostname", host)
schemathesis.openapi.format("hostname", host)
days = st.dates(datetime.date(2024, 1, 1), datetime.date(2027, 12, 31))
schemathesis.openapi.format("date", days.map(str))
schemathesis.openapi.format("date-time", st.builds("{}T{:02}:{:02}:{:02}.{:03}{}".format, days, st.integers(0, 23),
    st.integers(0, 59), st.integers(0, 59), st.integers(0, 999), st.sampled_from(["Z", "+05:45", "-03:00"])))
schemathesis.openapi.format("email", st.builds("{}@{}".format, label, host))

# Said by the service alone: what depends on other data, on bytes, on the clock, or on another field.
BEYOND_THE_SCHEMA = {
    "characters", "credentials", "domain_not_active", "duplicate", "format", "host", "idempotency_key_reused",
    "in_future", "not_found", "occurred_at_in_future", "occurred_at_too_old", "partner_not_active",
    "program_not_active", "range", "required", "reserved_parameter", "scheme", "unexpected", "value",
    "amount_out_of_range", "clicks_removed",
}


@schemathesis.check
def refusals_of_valid_data(ctx, response, case):
    """Valid data is refused only by rules that no schema can express."""
    if case.meta is None or not case.meta.generation.mode.is_positive or response.status_code != 422:
        return
    problem = response.json()
    codes = {fault["code"] for fault in problem.get("errors", [])} | {problem["code"]} - {"validation_failed"}
    told = codes - BEYOND_THE_SCHEMA
    # Of a file the schema says only that it is text.
    if case.operation.path.endswith("/import"):
        told -= {"unknown_field", "type", "length"}
    # JSON Schema takes 11.0 for an integer. The service doesn't: a float where money belongs is a mistake.
    if "type" in told and all(whole_float(fault["pointer"], case.body) for fault in problem["errors"] if fault["code"] == "type"):
        told -= {"type"}
    # Bytes, where the schema counts characters.
    if told == {"length"} and all(long_in_bytes(fault["pointer"]) for fault in problem["errors"] if fault["code"] == "length"):
        return
    if told:
        raise Failure(operation=case.operation.label, title="Valid data refused", message=f"{sorted(told)}: the document must say so\n{response.text}")


def whole_float(pointer, value):
    for step in pointer.split("/")[1:]:
        value = value[int(step) if isinstance(value, list) else step]
    return isinstance(value, float) and value.is_integer()


def long_in_bytes(pointer):
    return any(name in pointer for name in ("/custom_query", "/metadata", "/destination", "_url"))


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """A batch is answered 200 and names the items that it refuses, so a bad one among them was not accepted."""
    if failure.title != "Schema-violating request accepted":
        return True
    path = case.operation.path
    if path.endswith(("/events", "/bulk")):
        results = response.json().get("results", [])
        return not any(result["status"] == "rejected" for result in results)
    # A trial run, and one that takes what is good, list the faulty lines in a 200.
    if path.endswith("/import"):
        return not response.json()["errors"]
    # The rehearsal of an event is there to say what is wrong with a request, in a 200.
    if path.endswith("/sources/{id}/test"):
        return not response.json()["problems"]
    return True
