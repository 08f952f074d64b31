package arm_test

import (
	"fmt"
	"strings"
	"testing"
)

var allVersions = []string{
	"2022-12-01-preview", "2023-01-31", "2023-03-01-preview", "2023-04-03", "2023-07-13-preview", "2023-09-01", "2023-09-21", "2024-02-05-preview", newest,
}

func TestAGatewayIsShownInTheWordsOfEachVersion(t *testing.T) {
	w := open(t)
	r := w.settle(w.want(201, w.do("PUT", gateways+"/full"+api, full)))
	if r.text("status") != "Succeeded" {
		t.Fatal(r.Body)
	}
	w.want(201, w.do("PUT", gateways+"/full/testLines/OC1"+api, `{"location":"westeurope","tags":{"a":"b"},"properties":{"phoneNumber":"+441134960001","purpose":"Automated"}}`))
	for _, v := range allVersions {
		var b strings.Builder
		for _, path := range []string{"/full", "/full/testLines/OC1"} {
			r := w.want(200, w.do("GET", gateways+path+"?api-version="+v, ""))
			fmt.Fprintln(&b, pretty(r.Body.Bytes()))
		}
		golden(t, "gateway."+v+".json", []byte(b.String()))
	}
}
