package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/rabbitmq/rabbitmq-stream-go-client/pkg/amqp"
	"github.com/rabbitmq/rabbitmq-stream-go-client/pkg/stream"
)

// streamPublisher is a connection with one producer of a stream.
type streamPublisher struct {
	env      *stream.Environment
	producer *stream.Producer
	out      chan confirm
}

func connectStream(_ context.Context, o *options, queue string) (publisher, error) {
	env, err := stream.NewEnvironment(stream.NewEnvironmentOptions().SetHost("127.0.0.1").SetPort(o.port + 1).SetUser("guest").SetPassword("guest"))
	if err != nil {
		return nil, err
	}
	p, err := openProducer(env, o, queue)
	if err != nil {
		return nil, errors.Join(err, env.Close())
	}
	return p, nil
}

func openProducer(env *stream.Environment, o *options, queue string) (*streamPublisher, error) {
	if err := env.DeclareStream(queue, stream.NewStreamOptions()); err != nil && !errors.Is(err, stream.StreamAlreadyExists) {
		return nil, fmt.Errorf("declare stream %s: %w", queue, err)
	}
	producer, err := env.NewProducer(queue, stream.NewProducerOptions())
	if err != nil {
		return nil, err
	}
	p := &streamPublisher{env: env, producer: producer, out: make(chan confirm, o.inFlight())}
	in := producer.NotifyPublishConfirmation()
	go func() {
		defer close(p.out)
		for list := range in { // in the order of publishing ids
			for _, c := range list {
				p.out <- confirm{n: 1, refused: !c.IsConfirmed()}
			}
		}
	}()
	return p, nil
}

func (p *streamPublisher) publish(_ context.Context, body []byte) error {
	return p.producer.Send(amqp.NewMessage(body))
}

func (p *streamPublisher) confirms() <-chan confirm { return p.out }

func (p *streamPublisher) close() error { return errors.Join(p.producer.Close(), p.env.Close()) }
