"""What somebody does every day with the official svix SDK, against hookfast; signatures are checked by the official verifiers.

Called with the server's URL and a token. Any surprise is an exception, and so a failed test.
"""

import datetime
import http.server
import json
import queue
import sys
import threading

import standardwebhooks
import svix
from svix.api import (
    ApplicationIn,
    EndpointHeadersIn,
    EndpointIn,
    EndpointPatch,
    EndpointSecretRotateIn,
    EventExampleIn,
    EventTypeIn,
    MessageIn,
    RecoverIn,
    Svix,
    SvixOptions,
)
from svix.api.errors.http_error import HttpError
from svix.api.errors.http_validation_error import HTTPValidationError

url, token = sys.argv[1:]
api = Svix(token, SvixOptions(server_url=url))
arrived = queue.Queue()


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        arrived.put((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=receiver.serve_forever, daemon=True).start()
hook = f"http://127.0.0.1:{receiver.server_port}/hook"


def refused(call, code):
    try:
        call()
    except HttpError as error:
        assert error.code == code, error
    else:
        raise AssertionError(f"expected {code}")


app = api.application.get_or_create(ApplicationIn(name="SDK", uid="sdk"))
assert api.application.get_or_create(ApplicationIn(name="SDK", uid="sdk")).id == app.id
refused(lambda: api.application.create(ApplicationIn(name="SDK", uid="sdk")), "conflict")
api.event_type.create(EventTypeIn(name="invoice.paid", description="An invoice was paid"))
assert [kind.name for kind in api.event_type.list().data] == ["invoice.paid"]

endpoint = api.endpoint.create(
    "sdk", EndpointIn(url=hook, event_types=["invoice.paid"], uid="main", metadata={"a": "b"}, headers={"x-own": "1"})
)
secret = api.endpoint.get_secret("sdk", "main").key
api.endpoint.set_headers("sdk", "main", EndpointHeadersIn(headers={"x-own": "2"}))
assert api.endpoint.patch("sdk", "main", EndpointPatch(description="new")).description == "new"
assert api.endpoint.get("sdk", endpoint.id).metadata == {"a": "b"}

message = api.message.create("sdk", MessageIn(event_type="invoice.paid", payload={"amount": 12}, event_id="inv-1"))
again = api.message.create("sdk", MessageIn(event_type="invoice.paid", payload={"amount": 12}, event_id="inv-1"))
assert again.id == message.id
refused(
    lambda: api.message.create("sdk", MessageIn(event_type="invoice.paid", payload={"amount": 13}, event_id="inv-1")),
    "event_exists",
)
path, headers, body = arrived.get(timeout=30)
assert (path, headers["x-own"], headers["webhook-id"]) == ("/hook", "2", message.id)
for verifier in (standardwebhooks.Webhook(secret), svix.Webhook(secret)):
    verifier.verify(body, headers)
assert json.loads(body) == {"amount": 12}

new_secret = api.endpoint.rotate_secret("sdk", "main", EndpointSecretRotateIn()).key
assert new_secret != secret
api.endpoint.send_example("sdk", "main", EventExampleIn(event_type="svix.ping"))
_, headers, body = arrived.get(timeout=30)
for key in (secret, new_secret):
    standardwebhooks.Webhook(key).verify(body, headers)

assert api.message.get("sdk", "inv-1").id == message.id
assert message.id in [one.id for one in api.message.list("sdk").data]
destinations = api.message_attempt.list_attempted_destinations("sdk", message.id).data
assert [one.id for one in destinations] == [endpoint.id]
attempts = api.message_attempt.list_by_endpoint("sdk", "main").data
assert {attempt.msg_id for attempt in attempts} >= {message.id}
attempt = api.message_attempt.list_by_msg("sdk", message.id).data[0]
assert api.message_attempt.get("sdk", message.id, attempt.id).response_status_code == 200
api.message_attempt.resend("sdk", message.id, "main")
assert arrived.get(timeout=30)[1]["webhook-id"] == message.id
hour = datetime.timedelta(hours=1)
assert api.endpoint.recover("sdk", "main", RecoverIn(since=datetime.datetime.now(datetime.timezone.utc) - hour)).id
assert api.endpoint.get_stats("sdk", "main").success >= 1

refused(lambda: api.endpoint.get("sdk", "no-such"), "not_found")
try:
    api.endpoint.create("sdk", EndpointIn(url="nonsense"))
except HTTPValidationError as error:
    assert "url" in str(error), error
else:
    raise AssertionError("expected 422")
refused(lambda: Svix("hf_wrong", SvixOptions(server_url=url)).application.list(), "authentication_failed")

api.endpoint.delete("sdk", "main")
api.application.delete("sdk")
refused(lambda: api.application.get("sdk"), "not_found")
print("everything an SDK user does every day works")
