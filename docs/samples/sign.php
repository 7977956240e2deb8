<?php
// Sends one signed event. PHP 8 or newer, no extensions.
declare(strict_types=1);

function send(array $event): string
{
    $id = "msg_{$event['event_id']}";
    $timestamp = time();
    $body = json_encode($event, JSON_THROW_ON_ERROR); // Signed and sent as these very bytes.
    $key = base64_decode(substr(getenv('NIM_SOURCE_SECRET'), strlen('whsec_')), true);
    $signature = base64_encode(hash_hmac('sha256', "$id.$timestamp.$body", $key, true));
    $context = stream_context_create(['http' => [
        'method' => 'POST',
        'header' => [
            'content-type: application/json',
            "webhook-id: $id",
            "webhook-timestamp: $timestamp",
            "webhook-signature: v1,$signature",
        ],
        'content' => $body,
    ]]);
    $url = getenv('NIM_API_URL') . '/v1/sources/' . getenv('NIM_SOURCE_ID') . '/events';
    $answer = file_get_contents($url, false, $context); // False for 4xx and 5xx.
    return $answer === false ? throw new RuntimeException('the event was refused') : $answer;
}

echo send(['event_id' => 'order-1001', 'type' => 'sale', 'order_id' => '1001', 'amount_minor' => 4999, 'currency' => 'USD']), "\n";
