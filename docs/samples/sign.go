// Sends one signed event. Go 1.20 or newer, standard library only: go run sign.go
package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"time"
)

type event struct {
	EventID     string `json:"event_id"`
	Type        string `json:"type"`
	OrderID     string `json:"order_id,omitempty"`
	AmountMinor int64  `json:"amount_minor"`
	Currency    string `json:"currency"`
}

func send(e event) (*http.Response, error) {
	id := "msg_" + e.EventID
	timestamp := fmt.Sprint(time.Now().Unix())
	body, err := json.Marshal(e) // Signed and sent as these very bytes.
	if err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(os.Getenv("NIM_SOURCE_SECRET"), "whsec_"))
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, body)
	signature := base64.StdEncoding.EncodeToString(mac.Sum(nil))

	url := os.Getenv("NIM_API_URL") + "/v1/sources/" + os.Getenv("NIM_SOURCE_ID") + "/events"
	request, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("content-type", "application/json")
	request.Header.Set("webhook-id", id)
	request.Header.Set("webhook-timestamp", timestamp)
	request.Header.Set("webhook-signature", "v1,"+signature)
	return http.DefaultClient.Do(request)
}

func main() {
	response, err := send(event{EventID: "order-1001", Type: "sale", OrderID: "1001", AmountMinor: 4999, Currency: "USD"})
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	answer, _ := io.ReadAll(response.Body)
	fmt.Println(string(answer))
	if response.StatusCode != http.StatusOK {
		os.Exit(1)
	}
}
