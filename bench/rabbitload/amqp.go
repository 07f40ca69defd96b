package main

import (
	"context"
	"errors"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Kinds of queues.
const (
	kindClassic = "classic"
	kindQuorum  = "quorum"
	kindStream  = "stream"
)

// amqpPublisher is a connection with one channel in confirm mode.
type amqpPublisher struct {
	conn    *amqp.Connection
	channel *amqp.Channel
	queue   string
	out     chan confirm
}

func connectAMQP(_ context.Context, o *options, queue string) (publisher, error) {
	conn, err := amqp.Dial(fmt.Sprintf("amqp://guest:guest@127.0.0.1:%d/", o.port))
	if err != nil {
		return nil, err
	}
	p, err := openChannel(conn, o, queue)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return p, nil
}

func openChannel(conn *amqp.Connection, o *options, queue string) (*amqpPublisher, error) {
	ch, err := conn.Channel()
	if err != nil {
		return nil, err
	}
	if _, err := ch.QueueDeclare(queue, true, false, false, false, amqp.Table{"x-queue-type": o.kind}); err != nil {
		return nil, fmt.Errorf("declare queue %s: %w", queue, err)
	}
	if err := ch.Confirm(false); err != nil {
		return nil, err
	}
	p := &amqpPublisher{conn: conn, channel: ch, queue: queue, out: make(chan confirm, o.inFlight())}
	in := ch.NotifyPublish(make(chan amqp.Confirmation, o.inFlight()))
	go func() {
		defer close(p.out)
		for c := range in { // in the order of delivery tags
			p.out <- confirm{n: 1, refused: !c.Ack}
		}
	}()
	return p, nil
}

func (p *amqpPublisher) publish(ctx context.Context, body []byte) error {
	return p.channel.PublishWithContext(ctx, "", p.queue, false, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: body})
}

func (p *amqpPublisher) confirms() <-chan confirm { return p.out }

func (p *amqpPublisher) close() error { return p.conn.Close() }
