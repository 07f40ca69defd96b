package handlers

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/protocol"
)

// DescribeUserScramCredentials (key 50), version 0 (KIP-554).
//
// There are no users with credentials, as in a Kafka whose listeners are all
// PLAINTEXT and to which none was given: whoever is asked for by name is not there,
// and of all (null, or an empty list) there are none.
func handle50DescribeUserScramCredentials(_ *Broker, r *Request) {
	var req kmsg.DescribeUserSCRAMCredentialsRequest
	if !r.Decode(&req) {
		return
	}
	resp := kmsg.NewPtrDescribeUserSCRAMCredentialsResponse()
	resp.ErrorMessage = new(string)
	times := make(map[string]int, len(req.Users))
	for _, u := range req.Users {
		times[u.Name]++
	}
	for _, u := range req.Users {
		n := times[u.Name]
		if n == 0 { // answered before
			continue
		}
		times[u.Name] = 0
		err := protocol.Errorf(protocol.ResourceNotFound, "Attempt to describe a user credential that does not exist: %s", u.Name)
		if n > 1 {
			err = protocol.Errorf(protocol.DuplicateResource, "Cannot describe SCRAM credentials for the same user twice in a single request: %s", u.Name)
		}
		result := kmsg.NewDescribeUserSCRAMCredentialsResponseResult()
		result.User = u.Name
		result.ErrorCode, result.ErrorMessage = codeAndMessage(err)
		resp.Results = append(resp.Results, result)
	}
	r.Reply(resp)
}
