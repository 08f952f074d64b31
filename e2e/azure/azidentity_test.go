package azure

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"
)

// TestAzuresSDK is the life of a gateway with azidentity and Azure's own
// pollers and pagers. The library of Microsoft.VoiceServices can no longer be
// had, so the generic one of Azure Resource Manager does its requests.
func TestAzuresSDK(t *testing.T) {
	url := serve(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	here := cloud.Configuration{
		ActiveDirectoryAuthorityHost: url,
		Services:                     map[cloud.ServiceName]cloud.ServiceConfiguration{cloud.ResourceManager: {Endpoint: url, Audience: url + "/"}},
	}
	base := policy.ClientOptions{Cloud: here}
	credential, err := azidentity.NewClientSecretCredential(tenantID, clientID, clientSecret, &azidentity.ClientSecretCredentialOptions{ClientOptions: base, DisableInstanceDiscovery: true})
	if err != nil {
		t.Fatal(err)
	}
	// Default options: the client registers providers by itself when it is told
	// to, which it must never be.
	options := &arm.ClientOptions{ClientOptions: base}
	groups, err := armresources.NewResourceGroupsClient(subscriptionID, credential, options)
	if err != nil {
		t.Fatal(err)
	}
	resources, err := armresources.NewClient(subscriptionID, credential, options)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := groups.CreateOrUpdate(ctx, "voice", armresources.ResourceGroup{Location: to.Ptr("westeurope")}, nil); err != nil {
		t.Fatal(err)
	}
	const version = "2023-01-31"
	id := "/subscriptions/" + subscriptionID + "/resourceGroups/voice/providers/Microsoft.VoiceServices/communicationsGateways/" + gatewayName
	region := func(name, address string) any {
		return map[string]any{"name": name, "primaryRegionProperties": map[string]any{"operatorAddresses": []string{address}}}
	}
	properties := map[string]any{
		"connectivity": "PublicAddress", "codecs": []string{"PCMA"}, "e911Type": "Standard", "platforms": []string{"OperatorConnect"},
		"serviceLocations": []any{region("westeurope", "127.78.20.9")}, "apiBridge": map[string]any{},
	}
	poll := &runtime.PollUntilDoneOptions{Frequency: time.Second}
	put, err := resources.BeginCreateOrUpdateByID(ctx, id, version, armresources.GenericResource{Location: to.Ptr("westeurope"), Properties: properties}, nil)
	if err != nil {
		t.Fatal(err)
	}
	made, err := put.PollUntilDone(ctx, poll)
	if err != nil {
		t.Fatal(err)
	}
	got := made.Properties.(map[string]any)
	if got["provisioningState"] != "Succeeded" || got["status"] != "Complete" || got["apiBridge"] == nil {
		t.Errorf("after it was made: %v", got)
	}
	line := id + "/testLines/OC1"
	put, err = resources.BeginCreateOrUpdateByID(ctx, line, version, armresources.GenericResource{Location: to.Ptr("westeurope"), Properties: map[string]any{"phoneNumber": "+441134960001", "purpose": "Automated"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := put.PollUntilDone(ctx, poll); err != nil {
		t.Fatal(err)
	}
	patch, err := resources.BeginUpdateByID(ctx, id, version, armresources.GenericResource{Tags: map[string]*string{"team": to.Ptr("voice")}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := patch.PollUntilDone(ctx, poll); err != nil {
		t.Fatal(err)
	}
	found := 0
	for pages := resources.NewListPager(&armresources.ClientListOptions{Filter: to.Ptr("tagName eq 'team' and tagValue eq 'voice'"), Top: to.Ptr[int32](1)}); pages.More(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		found += len(page.Value)
	}
	if found != 1 {
		t.Errorf("%d resources have the tag", found)
	}

	_, err = resources.GetByID(ctx, id+"x", version, nil)
	if e, is := errors.AsType[*azcore.ResponseError](err); !is || e.StatusCode != http.StatusNotFound || e.ErrorCode != "ResourceNotFound" {
		t.Errorf("what does not exist: %v", err)
	}
	for _, path := range []string{line, id} {
		gone, err := resources.BeginDeleteByID(ctx, path, version, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := gone.PollUntilDone(ctx, poll); err != nil {
			t.Fatal(err)
		}
	}
	end, err := groups.BeginDelete(ctx, "voice", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := end.PollUntilDone(ctx, poll); err != nil {
		t.Fatal(err)
	}

	// A wrong secret is told in the words that people look for.
	wrong, err := azidentity.NewClientSecretCredential(tenantID, clientID, "wrong", &azidentity.ClientSecretCredentialOptions{ClientOptions: base, DisableInstanceDiscovery: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = wrong.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{url + "//.default"}})
	if e, is := errors.AsType[*azidentity.AuthenticationFailedError](err); !is || e.RawResponse.StatusCode != http.StatusUnauthorized {
		t.Errorf("a wrong secret: %v", err)
	}
}
