package protocol

// noFlex stands for the first flexible version of an API that has none.
const noFlex = 1 << 14

// shapes lists every request of Kafka 4.4 that a broker or controller may
// receive: key, first and last version, first flexible version, and the shape of
// the body. A shape is a sequence of fields in wire order:
//
//	b h i l u    1, 2, 4, 8 or 16 bytes
//	s            string, nullable or not
//	y            bytes or records, nullable or not
//	[x]          array of x
//	{...}        structure; in flexible versions tagged fields follow
//	?{...}       structure that may be null
//	#n x         tagged field number n, in all versions: kmsg does not ask which
//
// A field ends with the versions that have it if not all of the API's do: @3+
// from 3, @-4 up to 4, @7-12 both. Versions 0 to 2 of Produce are advertised but
// never decoded, so they are not here.
//
// The shapes follow Kafka's message definitions; TestShapes holds them against
// kmsg for every key and version.
var shapes = [...]shape{
	{0, 3, 13, 9, `s h i [{s@-12 u@13+ [{i y}]}]`}, // Produce
	{1, 4, 18, 12, `i@-14 i i i b i@7+ i@7+ [{s@-12 u@13+ [{i i@9+ l i@12+ l@5+ i #0u@17+ #1l@18+}]}] [{s@7-12 u@13+ [i]@7+}]@7+ s@11+ #0s@12+ #1{i l}@15+`}, // Fetch
	{2, 1, 11, 6, `i b@2+ [{s [{i i@4+ l}]}] i@10+`},                                              // ListOffsets
	{3, 0, 13, 9, `[{u@10+ s}] b@4+ b@8-10 b@8+`},                                                 // Metadata
	{8, 2, 10, 8, `s i s s@7+ l@-4 [{s@-9 u@10+ [{i l i@6+ s}]}]`},                                // OffsetCommit
	{9, 1, 10, 6, `s@-7 [{s@-7 [i]@-7}]@-7 [{s@8+ s@9+ i@9+ [{s@8-9 u@10+ [i]@8+}]@8+}]@8+ b@7+`}, // OffsetFetch
	{10, 0, 6, 3, `s@-3 b@1+ [s]@4+`},                                                             // FindCoordinator
	{11, 0, 9, 6, `s i i@1+ s s@5+ s [{s y}] s@8+`},                                               // JoinGroup
	{12, 0, 4, 4, `s i s s@3+`},                                                                   // Heartbeat
	{13, 0, 5, 4, `s s@-2 [{s@3+ s@3+ s@5+}]@3+`},                                                 // LeaveGroup
	{14, 0, 5, 4, `s i s s@3+ s@5+ s@5+ [{s y}]`},                                                 // SyncGroup
	{15, 0, 6, 5, `[s] b@3+`},                                                                     // DescribeGroups
	{16, 0, 5, 3, `[s]@4+ [s]@5+`},                                                                // ListGroups
	{17, 0, 1, noFlex, `s`},                                                                       // SaslHandshake
	{18, 0, 5, 3, `s@3+ s@3+ s@5+ i@5+`},                                                          // ApiVersions
	{19, 2, 7, 5, `[{s i h [{i [i]}] [{s s}]}] i b`},                                              // CreateTopics
	{20, 1, 6, 4, `[{s@6+ u@6+}]@6+ [s]@-5 i`},                                                    // DeleteTopics
	{21, 0, 2, 2, `[{s [{i l}]}] i`},                                                              // DeleteRecords
	{22, 0, 5, 2, `s i l@3+ h@3+`},                                                                // InitProducerId
	{23, 2, 4, 4, `i@3+ [{s [{i i i}]}]`},                                                         // OffsetForLeaderEpoch
	{24, 0, 5, 3, `[{s@4+ l@4+ h@4+ b@4+ [{s [i]}]@4+}]@4+ s@-3 l@-3 h@-3 [{s [i]}]@-3`},          // AddPartitionsToTxn
	{25, 0, 4, 3, `s l h s`},                                                                      // AddOffsetsToTxn
	{26, 0, 5, 3, `s l h b`},                                                                      // EndTxn
	{27, 1, 2, 1, `[{l h b [{s [i]}] i b@2+}]`},                                                   // WriteTxnMarkers
	{28, 0, 6, 3, `s s l h i@3+ s@3+ s@3+ [{s@-5 u@6+ [{i l i@2+ s}]}]`},                          // TxnOffsetCommit
	{29, 1, 3, 2, `b s b s s b b`},                                                                // DescribeAcls
	{30, 1, 3, 2, `[{b s b s s b b}]`},                                                            // CreateAcls
	{31, 1, 3, 2, `[{b s b s s b b}]`},                                                            // DeleteAcls
	{32, 1, 4, 4, `[{b s [s]}] b b@3+`},                                                           // DescribeConfigs
	{33, 0, 2, 2, `[{b s [{s s}]}] b`},                                                            // AlterConfigs
	{34, 1, 2, 2, `[{s [{s [i]}]}]`},                                                              // AlterReplicaLogDirs
	{35, 1, 5, 2, `[{s [i]}]`},                                                                    // DescribeLogDirs
	{36, 0, 2, 2, `y`},                                                                            // SaslAuthenticate
	{37, 0, 3, 2, `[{s i [{[i]}]}] i b`},                                                          // CreatePartitions
	{38, 1, 3, 2, `s@3+ s@3+ [{s s}] l`},                                                          // CreateDelegationToken
	{39, 1, 2, 2, `y l`},                                                                          // RenewDelegationToken
	{40, 1, 2, 2, `y l`},                                                                          // ExpireDelegationToken
	{41, 1, 3, 2, `[{s s}]`},                                                                      // DescribeDelegationToken
	{42, 0, 3, 2, `[s]`},                                                                          // DeleteGroups
	{43, 0, 2, 2, `b@1+ [{s [i]}] i`},                                                             // ElectLeaders
	{44, 0, 1, 1, `[{b s [{s b s}]}] b`},                                                          // IncrementalAlterConfigs
	{45, 0, 1, 0, `i b@1+ [{s [{i [i]}]}]`},                                                       // AlterPartitionReassignments
	{46, 0, 0, 0, `i [{s [i]}]`},                                                                  // ListPartitionReassignments
	{47, 0, 0, noFlex, `s [{s [{i}]}]`},                                                           // OffsetDelete
	{48, 0, 1, 1, `[{s b s}] b`},                                                                  // DescribeClientQuotas
	{49, 0, 1, 1, `[{[{s s}] [{s l b}]}] b`},                                                      // AlterClientQuotas
	{50, 0, 0, 0, `[{s}]`},                                                                        // DescribeUserScramCredentials
	{51, 0, 0, 0, `[{s b}] [{s b i y y}]`},                                                        // AlterUserScramCredentials
	{52, 0, 2, 0, `s i@1+ [{s [{i i i u@1+ u@1+ i l b@2+}]}]`},                                    // Vote
	{53, 0, 1, 1, `s i@1+ [{s [{i u@1+ i i}]}] [{s@1+ s@1+ h@1+}]@1+`},                            // BeginQuorumEpoch
	{54, 0, 1, 1, `s [{s [{i i i [i]@-0 [{i@1+ u@1+}]@1+}]}] [{s@1+ s@1+ h@1+}]@1+`},              // EndQuorumEpoch
	{55, 0, 2, 0, `[{s [{i}]}]`},                                                                  // DescribeQuorum
	{56, 2, 3, 0, `i l [{u [{i i [i]@-2 [{i@3+ l@3+}]@3+ b i}]}]`},                                // AlterPartition
	{57, 0, 2, 0, `i [{s h b@-0 b@1+}] b@1+`},                                                     // UpdateFeatures
	{58, 0, 0, 0, `y y y`},                                                                        // Envelope
	{59, 0, 1, 0, `i i [{s [{i i {l i} l #0u@1+}]}] #0s`},                                         // FetchSnapshot
	{60, 0, 2, 0, `b b@1+ b@2+`},                                                                  // DescribeCluster
	{61, 0, 0, 0, `[{s [i]}]`},                                                                    // DescribeProducers
	{62, 0, 4, 0, `i s u [{s s h h}] [{s h h}] s b@1+ [u]@2+ l@3+`},                               // BrokerRegistration
	{63, 0, 2, 0, `i l l b b #0[u]@1+ #1[u]@2+`},                                                  // BrokerHeartbeat
	{64, 0, 0, 0, `i`},                                                                            // UnregisterBroker
	{65, 0, 0, 0, `[s]`},                                                                          // DescribeTransactions
	{66, 0, 2, 0, `[s] [l] l@1+ s@2+`},                                                            // ListTransactions
	{67, 0, 0, 0, `i l`},                                                                          // AllocateProducerIds
	{68, 0, 1, 0, `s s i s s i [s] s@1+ s [{u [i]}]`},                                             // ConsumerGroupHeartbeat
	{69, 0, 1, 0, `[s] b`},                                                                        // ConsumerGroupDescribe
	{70, 0, 0, 0, `i u b [{s s h h}] [{s h h}]`},                                                  // ControllerRegistration
	{71, 0, 0, 0, `u`},                                                                            // GetTelemetrySubscriptions
	{72, 0, 0, 0, `u i b b y`},                                                                    // PushTelemetry
	{73, 0, 0, 0, `i l [{u [{u [{i}]}]}]`},                                                        // AssignReplicasToDirs
	{74, 0, 1, 0, `[b]@1+`},                                                                       // ListConfigResources
	{75, 0, 0, 0, `[{s}] i ?{s i}`},                                                               // DescribeTopicPartitions
	{76, 1, 1, 0, `s s i s [s]`},                                                                  // ShareGroupHeartbeat
	{77, 1, 1, 0, `[s] b`},                                                                        // ShareGroupDescribe
	{78, 1, 2, 0, `s s i i i i i i b@2+ b@2+ [{u [{i [{l l [b]}]}]}] [{u [i]}]`},                  // ShareFetch
	{79, 1, 2, 0, `s s i b@2+ [{u [{i [{l l [b]}]}]}]`},                                           // ShareAcknowledge
	{80, 0, 1, 0, `s i i u [{s s h}] b@1+`},                                                       // AddRaftVoter
	{81, 0, 0, 0, `s i u`},                                                                        // RemoveRaftVoter
	{82, 0, 0, 0, `s i i u [{s s h}] {h h}`},                                                      // UpdateRaftVoter
	{83, 0, 0, 0, `s [{u [{i i l}]}]`},                                                            // InitializeShareGroupState
	{84, 0, 0, 0, `s [{u [{i i}]}]`},                                                              // ReadShareGroupState
	{85, 0, 1, 0, `s [{u [{i i i l i@1+ [{l l b h}]}]}]`},                                         // WriteShareGroupState
	{86, 0, 0, 0, `s [{u [{i}]}]`},                                                                // DeleteShareGroupState
	{87, 0, 1, 0, `s [{u [{i i}]}]`},                                                              // ReadShareGroupStateSummary
	{88, 0, 1, 0, `s s i i s s i ?{i [{s [s] [s] [{s i h [{s s}]}] [s] [{s i h [{s s}]}] [{[h] [h] [h]}]}]} [{s [i]}] [{s [i]}] [{s [i]}] s ?{s h} [{s s}] [{s i l}] [{s i l}] b`}, // StreamsGroupHeartbeat
	{89, 0, 1, 0, `[s] b b@1+`},      // StreamsGroupDescribe
	{90, 0, 1, 0, `[{s [{s [i]}]}]`}, // DescribeShareGroupOffsets
	{91, 0, 0, 0, `s [{s [{i l}]}]`}, // AlterShareGroupOffsets
	{92, 0, 0, 0, `s [{s}]`},         // DeleteShareGroupOffsets
	{93, 0, 0, 0, `s s i {[{s [{s b [s] s [s] [s]}]}] [{{s b [s] s [s] [s]} {s b [s] s [s] [s]}}]}`}, // StreamsGroupTopologyDescriptionUpdate
	{94, 0, 0, 0, `i`}, // UnregisterController
}
