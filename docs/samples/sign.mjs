// Sends one signed event. Node 18 or newer, standard library only.
import { createHmac } from "node:crypto";

const { NIM_API_URL, NIM_SOURCE_ID, NIM_SOURCE_SECRET } = process.env;

async function send(event) {
  const id = `msg_${event.event_id}`;
  const timestamp = Math.floor(Date.now() / 1000);
  const body = JSON.stringify(event); // Signed and sent as these very bytes.
  const key = Buffer.from(NIM_SOURCE_SECRET.replace(/^whsec_/, ""), "base64");
  const signature = createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest("base64");
  return fetch(`${NIM_API_URL}/v1/sources/${NIM_SOURCE_ID}/events`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "webhook-id": id,
      "webhook-timestamp": String(timestamp),
      "webhook-signature": `v1,${signature}`,
    },
    body,
  });
}

const response = await send({ event_id: "order-1001", type: "sale", order_id: "1001", amount_minor: 4999, currency: "USD" });
console.log(await response.text());
process.exitCode = response.ok ? 0 : 1;
