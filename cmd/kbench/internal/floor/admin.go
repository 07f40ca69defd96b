package floor

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// served are the requests understood, with the versions: lowest and highest.
var served = map[kmsg.Key][2]int16{
	kmsg.Produce:      {produceVersion, produceVersion},
	kmsg.Fetch:        {fetchVersion, fetchVersion},
	kmsg.ListOffsets:  {4, 7},
	kmsg.Metadata:     {5, 9},
	kmsg.ApiVersions:  {0, kmsg.NewPtrApiVersionsRequest().MaxVersion()},
	kmsg.CreateTopics: {2, 6},
}

// admin answers everything but produce and fetch.
func (c *conn) admin(key, version int16, corr uint32, body []byte) error {
	req := kmsg.RequestForKey(key)
	v, ok := served[kmsg.Key(key)]
	if req == nil || !ok || version < v[0] || version > v[1] {
		return fmt.Errorf("request %d of version %d is not understood", key, version)
	}
	req.SetVersion(version)
	if req.IsFlexible() {
		r := kbin.Reader{Src: body}
		skipTags(&r)
		body = r.Src
	}
	if err := req.ReadFrom(body); err != nil {
		return err
	}
	var resp kmsg.Response
	switch req := req.(type) {
	case *kmsg.ApiVersionsRequest:
		resp = apiVersions()
	case *kmsg.MetadataRequest:
		resp = c.server.metadata(req)
	case *kmsg.CreateTopicsRequest:
		var err error
		if resp, err = c.server.create(req); err != nil {
			return err
		}
	case *kmsg.ListOffsetsRequest:
		resp = c.server.listOffsets(req)
	default:
		return fmt.Errorf("request %s of version %d has no business here", kmsg.NameForKey(key), version)
	}
	resp.SetVersion(version)
	c.answer(corr, resp)
	return nil
}

func apiVersions() *kmsg.ApiVersionsResponse {
	resp := kmsg.NewPtrApiVersionsResponse()
	for key, v := range served {
		k := kmsg.NewApiVersionsResponseApiKey()
		k.ApiKey, k.MinVersion, k.MaxVersion = int16(key), v[0], v[1]
		resp.ApiKeys = append(resp.ApiKeys, k)
	}
	return resp
}

func (s *Server) metadata(req *kmsg.MetadataRequest) *kmsg.MetadataResponse {
	resp := kmsg.NewPtrMetadataResponse()
	b := kmsg.NewMetadataResponseBroker()
	b.NodeID, b.Host, b.Port = 1, s.Address().IP.String(), int32(s.Address().Port)
	resp.Brokers, resp.ControllerID = append(resp.Brokers, b), 1
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rt := range req.Topics {
		t := kmsg.NewMetadataResponseTopic()
		t.Topic = rt.Topic
		if rt.Topic == nil || s.topics[*rt.Topic] == nil {
			t.ErrorCode = kerr.UnknownTopicOrPartition.Code
		} else {
			for i := range s.topics[*rt.Topic] {
				p := kmsg.NewMetadataResponseTopicPartition()
				p.Partition, p.Leader, p.LeaderEpoch, p.Replicas, p.ISR = int32(i), 1, -1, []int32{1}, []int32{1}
				t.Partitions = append(t.Partitions, p)
			}
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func (s *Server) create(req *kmsg.CreateTopicsRequest) (*kmsg.CreateTopicsResponse, error) {
	resp := kmsg.NewPtrCreateTopicsResponse()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rt := range req.Topics {
		t := kmsg.NewCreateTopicsResponseTopic()
		t.Topic = rt.Topic
		if s.topics[rt.Topic] != nil {
			t.ErrorCode = kerr.TopicAlreadyExists.Code
		} else {
			made, err := newTopic(s.dir, rt.Topic, int(rt.NumPartitions))
			if err != nil {
				return nil, err
			}
			s.topics[rt.Topic] = made
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp, nil
}

func (s *Server) listOffsets(req *kmsg.ListOffsetsRequest) *kmsg.ListOffsetsResponse {
	const latest = -1
	resp := kmsg.NewPtrListOffsetsResponse()
	for _, rt := range req.Topics {
		t := kmsg.NewListOffsetsResponseTopic()
		t.Topic = rt.Topic
		for _, rp := range rt.Partitions {
			p := kmsg.NewListOffsetsResponseTopicPartition()
			p.Partition, p.LeaderEpoch, p.Offset = rp.Partition, -1, 0
			switch log := s.partition(rt.Topic, rp.Partition); {
			case log == nil:
				p.ErrorCode = kerr.UnknownTopicOrPartition.Code
			case rp.Timestamp == latest:
				_, _, p.Offset = log.find(0)
			}
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}
