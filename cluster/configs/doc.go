// Package configs knows every configuration key of the broker, of its topics and of its groups: name, type,
// default, bounds, meaning, and what kserver does with it.
//
// The keys are Kafka's (release 4.3), with Kafka's types, bounds and error messages, so that a server.properties
// written for Kafka starts kserver and a topic configured by Kafka's tools means the same here. For each key the
// table says one of three things (Support): kserver obeys it; kserver accepts it although it means nothing here,
// and says so at start; or kserver refuses any value but the default, because ignoring it would break a promise
// (security, tiered storage, clustering). A key that is in no table is an error that names the nearest known key.
//
// # Layers
//
// A value comes from the highest layer that sets it: default < file < environment < flag. Every Setting carries
// the place it was read from (a file and line, a variable, a flag), which error messages and the printed
// effective configuration repeat.
//
//	server.properties --ParseProperties--+
//	environment -----ParseEnvironment----+--> []Setting --ParseBroker--> *Broker (typed, checked, immutable)
//	flags ----------FlagSetting----------+                                  |
//	                                                                        +-- TopicDefaults, ResolveLogConfig
//	CreateTopics, AlterConfigs --ValidateTopic--> overrides ----------------+-- DescribeTopic, DescribeBroker
//
// Over these layers lie the settings administrators make while the broker runs, as the default of all brokers and
// for one: Live checks them and makes another *Broker of them. A key whose value kserver cannot change at run time
// is refused there.
//
// # Main types
//
// Def describes one key. Setting is one value with its origin. Broker holds the typed effective values of a
// node. Entry is one row of a DescribeConfigs answer.
//
// # Concurrency
//
// The tables are built once at start of the process and never change. A *Broker is immutable once ParseBroker
// returned it, and Live replaces it as a whole; everything in this package may be called from any goroutine.
//
// # What it does not know
//
// No sockets, no files besides the text of a properties file, no metadata: topic overrides are handed in by the
// caller. Where kserver's defaults leave Kafka's, Deviations lists key, both values and the reason.
package configs
