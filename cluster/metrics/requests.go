package metrics

import (
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// requests shows the requests of each API, the errors in their answers and who waits.
func (c *catalogue) requests(src *Sources) {
	duration := c.timing("request_duration_seconds",
		"Time from the arrival of a request, or the end of its client's pause, until its answer was complete, what it waited for included. Kafka: TotalTimeMs less ThrottleTimeMs and ResponseSendTimeMs.", "api")
	errors := c.counter("request_errors_total",
		"Error codes in answers; one answer may have several, such as one for each partition. Kafka: ErrorsPerSec.", "api", "error")
	waiting := c.gauge("request_purgatory_size",
		"Requests that wait: Produce for acknowledgement, Fetch for fetch.min.bytes. Kafka: PurgatorySize.", "api")
	sessions := c.gauge("request_fetch_sessions", "Incremental fetch sessions. Kafka: NumIncrementalFetchSessions.")
	c.section(func(s *sink) {
		for key, times := range src.Requests.Times() {
			s.timing(duration, times, apiName(key))
		}
		for e, n := range src.Requests.Errors() {
			s.count(errors, n, apiName(e.Key), e.Code.String())
		}
		s.count(waiting, src.Requests.WaitingProduces.Load(), apiName(int16(kmsg.Produce)))
		s.count(waiting, src.Requests.WaitingFetches.Load(), apiName(int16(kmsg.Fetch)))
		s.count(sessions, int64(src.Sessions.Len()))
	})
}

// apiName is Kafka's name of an API.
func apiName(key int16) string { return strings.ReplaceAll(kmsg.NameForKey(key), "ID", "Id") }

func itoa(n int32) string { return strconv.Itoa(int(n)) }
