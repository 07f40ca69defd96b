// Package netio is the event loop of the server: listeners, connections,
// frames, queues, on io_uring or epoll. Bytes and descriptors, no Kafka.
package netio
