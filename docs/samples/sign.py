"""Sends one signed event. Python 3.9 or newer, standard library only."""

import base64
import hashlib
import hmac
import json
import os
import time
import urllib.request


def send(event: dict) -> str:
    message_id = f"msg_{event['event_id']}"
    timestamp = str(int(time.time()))
    body = json.dumps(event).encode()  # Signed and sent as these very bytes.
    key = base64.b64decode(os.environ["NIM_SOURCE_SECRET"].removeprefix("whsec_"))
    signed = f"{message_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    request = urllib.request.Request(
        f"{os.environ['NIM_API_URL']}/v1/sources/{os.environ['NIM_SOURCE_ID']}/events",
        data=body,
        headers={
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": f"v1,{signature}",
        },
    )
    with urllib.request.urlopen(request) as response:  # Raises for 4xx and 5xx.
        return response.read().decode()


print(send({"event_id": "order-1001", "type": "sale", "order_id": "1001", "amount_minor": 4999, "currency": "USD"}))
