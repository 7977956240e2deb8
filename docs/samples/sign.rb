# Sends one signed event. Ruby 3.0 or newer, standard library only.
require "json"
require "net/http"
require "openssl"

def send_event(event)
  id = "msg_#{event[:event_id]}"
  timestamp = Time.now.to_i.to_s
  body = JSON.generate(event) # Signed and sent as these very bytes.
  key = ENV.fetch("NIM_SOURCE_SECRET").delete_prefix("whsec_").unpack1("m")
  signature = [OpenSSL::HMAC.digest("SHA256", key, "#{id}.#{timestamp}.#{body}")].pack("m0")
  uri = URI("#{ENV.fetch("NIM_API_URL")}/v1/sources/#{ENV.fetch("NIM_SOURCE_ID")}/events")
  Net::HTTP.post(uri, body, {
    "content-type" => "application/json",
    "webhook-id" => id,
    "webhook-timestamp" => timestamp,
    "webhook-signature" => "v1,#{signature}",
  })
end

response = send_event({ event_id: "order-1001", type: "sale", order_id: "1001", amount_minor: 4999, currency: "USD" })
puts response.body
exit response.is_a?(Net::HTTPSuccess)
