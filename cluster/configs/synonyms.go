package configs

import "strings"

const (
	minute = 60_000
	hour   = 60 * minute
)

// topicSynonyms are the broker keys a topic key's default comes from, best first (Kafka's
// ServerTopicConfigSynonyms).
var topicSynonyms = map[string][]Synonym{
	"cleanup.policy":                  {{"log.cleanup.policy", 1}},
	"compression.gzip.level":          {{"compression.gzip.level", 1}},
	"compression.lz4.level":           {{"compression.lz4.level", 1}},
	"compression.type":                {{"compression.type", 1}},
	"compression.zstd.level":          {{"compression.zstd.level", 1}},
	"delete.retention.ms":             {{"log.cleaner.delete.retention.ms", 1}},
	"file.delete.delay.ms":            {{"log.segment.delete.delay.ms", 1}},
	"flush.messages":                  {{"log.flush.interval.messages", 1}},
	"flush.ms":                        {{"log.flush.interval.ms", 1}, {"log.flush.scheduler.interval.ms", 1}},
	"index.interval.bytes":            {{"log.index.interval.bytes", 1}},
	"local.retention.bytes":           {{"log.local.retention.bytes", 1}},
	"local.retention.ms":              {{"log.local.retention.ms", 1}},
	"max.compaction.lag.ms":           {{"log.cleaner.max.compaction.lag.ms", 1}},
	"max.message.bytes":               {{"message.max.bytes", 1}},
	"message.timestamp.after.max.ms":  {{"log.message.timestamp.after.max.ms", 1}},
	"message.timestamp.before.max.ms": {{"log.message.timestamp.before.max.ms", 1}},
	"message.timestamp.type":          {{"log.message.timestamp.type", 1}},
	"min.cleanable.dirty.ratio":       {{"log.cleaner.min.cleanable.ratio", 1}},
	"min.compaction.lag.ms":           {{"log.cleaner.min.compaction.lag.ms", 1}},
	"min.insync.replicas":             {{"min.insync.replicas", 1}},
	"preallocate":                     {{"log.preallocate", 1}},
	"retention.bytes":                 {{"log.retention.bytes", 1}},
	"retention.ms":                    {{"log.retention.ms", 1}, {"log.retention.minutes", minute}, {"log.retention.hours", hour}},
	"segment.bytes":                   {{"log.segment.bytes", 1}},
	"segment.index.bytes":             {{"log.index.size.max.bytes", 1}},
	"segment.jitter.ms":               {{"log.roll.jitter.ms", 1}, {"log.roll.jitter.hours", hour}},
	"segment.ms":                      {{"log.roll.ms", 1}, {"log.roll.hours", hour}},
	"unclean.leader.election.enable":  {{"unclean.leader.election.enable", 1}},
}

// groupSynonyms are the broker keys a group key's default comes from: group.<key> for every group key that has
// a broker key of that name.
func groupSynonyms() map[string][]Synonym {
	names := make(map[string][]Synonym)
	for _, d := range groupKeys {
		for _, b := range groupsKeys {
			if strings.TrimPrefix(b.Name, "group.") == d.Name {
				names[d.Name] = []Synonym{{b.Name, 1}}
			}
		}
	}
	return names
}

func withSynonyms(t *table, names map[string][]Synonym) *table {
	for name, synonyms := range names {
		d, ok := t.byName[name]
		if !ok {
			panic("configs: synonyms of an unknown key: " + name)
		}
		d.Synonyms = synonyms
	}
	return t
}
