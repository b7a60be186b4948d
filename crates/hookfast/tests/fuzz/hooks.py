"""What schemathesis has to know besides the OpenAPI document. It must not excuse an answer that the document forbids."""

import os
import re

import schemathesis

# Where every delivery goes: no address that was made up is ever dialled.
RECEIVER = os.environ["HOOKFAST_FUZZ_RECEIVER"]

# A request that agrees with the document is accepted, but for what no schema can say. Each place with its reason.
BEYOND_A_SCHEMA = {
    r"query\.iterator": "it must come from an earlier page of the same list",
    r"body\.url": "the address rules, and hosts that are none",
    r"body\.eventTypes\.\d+": "the event type must exist",
    r"body(\.application)?\.retentionDays": "one of the classes that this server is configured with",
    r"body(\.application)?\.metadata": "4,096 bytes of JSON",
    r"body\.application\.uid": "the uid in the path",
    r"body\.orderingKey": "256 bytes, which are fewer characters",
    r"body\.ordering\.pointer": "a JSON pointer of 256 bytes",
    r"body\.(secret|key)": "base64 of a secret's length",
    r"body\.gracePeriodSeconds": "ten old secrets at most at a time",
    r"body\.headers(\..*)?": "names that HTTP or hookfast keeps for itself, and values that may stand in a header",
    r"body\.transformationsParams\.headers\..*": "a media type",
    r"body\.expiresAt": "in the future",
    r"body\.(since|until)": "in order, and not too long ago",
    r"path\.event_type_name": "a new event type is made only under a good name",
}
CODES_BEYOND_A_SCHEMA = {
    "invalid_range": "times in order, not in the future, at most 28 days apart",
    "invalid_scheme": "no example is known to send",
    "invalid_idempotency_key": "spaces around a header's value are not part of it, so it may be empty",
}


def is_beyond_a_schema(response):
    body = response.json()
    if response.status_code == 400:
        return body["code"] in CODES_BEYOND_A_SCHEMA
    places = [".".join(problem["loc"]) for problem in body["detail"]]
    return bool(places) and all(
        any(re.fullmatch(rule, place, re.DOTALL) for rule in BEYOND_A_SCHEMA) for place in places
    )


@schemathesis.hook
def filter_failure(context, failure, case, response):
    is_refusal = type(failure).__name__ == "RejectedPositiveData" and response.status_code in (400, 422)
    return not (is_refusal and is_beyond_a_schema(response))


@schemathesis.hook
def before_call(context, case, kwargs):
    url = case.body.get("url") if isinstance(case.body, dict) else None
    if isinstance(url, str) and url.lower().startswith(("http://", "https://")):
        case.body["url"] = RECEIVER
